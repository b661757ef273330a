"""Secrets stay out of the log, by the name of a field and by the shape of a text.

What people write does not belong there either: no code of ours logs a prompt, and fields of that
name are taken out if one ever does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from structlog.typing import EventDict

REDACTED = "[redacted]"

_SECRET_NAMES = re.compile(
    r"(?i)(^|_)(authorization|cookie|password|passwd|secret|token|api_?key|access_?key|credential"
    r"|(private|secret)_?key|prompt|negative_prompt)s?$"
)
# Our keys and secrets, those of Stripe, JSON Web Tokens, and the signatures of links.
_SECRET_SHAPES = re.compile(
    r"\batl_[\w-]{20,}"
    r"|\bwhsec_[\w+/=-]{16,}"
    r"|\b[rs]k_(?:live|test)_\w{10,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?i:\bbearer\s+)[\w.~+/=-]{16,}"
    r"|(?<=[?&]X-Amz-Signature=)[0-9a-f]+"
    r"|(?<=[?&]token=)[\w.~-]+"
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)"  # the user and password of an address
)


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """A processor of structlog: the event without secrets."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name) and value is not None and not isinstance(value, bool | int):
        return REDACTED
    return clean(value)


def clean(value: Any) -> Any:
    """Return ``value`` with every text that looks like a secret replaced."""
    match value:
        case str():
            return _SECRET_SHAPES.sub(REDACTED, value)
        case Mapping():
            return {key: _clean(str(key), inner) for key, inner in value.items()}
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [clean(inner) for inner in value]
        case _:
            return value
