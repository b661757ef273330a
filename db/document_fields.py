"""What fields of job documents may hold, whichever store has them."""

from __future__ import annotations

import json
from typing import Any, cast


def checked_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields if both stores can hold them; raises ValueError otherwise."""
    for name in fields:
        if not isinstance(name, str) or not name or "." in name or name.startswith("$"):
            raise ValueError(f"not a field name: {name!r}")
    try:
        plain = json.loads(json.dumps(fields, allow_nan=False))
    except TypeError as error:
        raise ValueError(str(error)) from error
    return cast("dict[str, Any]", _plain(plain))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")  # JSONB cannot hold it, and nobody misses it
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(name): _plain(item) for name, item in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("an integer of more than 64 bits")
    return value
