"""The log of a job, which its owner reads: lines with a time, a level and the attempt's number.

It says nothing of the house: no path and nothing that looks like a secret. It is bounded: the last
lines stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from deployments.log_redaction import clean

MAX_LINES = 500
MAX_BYTES = 64 * 1024
MAX_MESSAGE = 300  # characters

Level: TypeAlias = Literal["info", "warning", "error"]

# Of two parts or more, such as /tmp/work; the name of a model (owner/name) is none.
_PATH = re.compile(r"(?<![\w.~-])~?/[\w.@+-]+(?:/[\w.@+-]*)+")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a job's log; ``time`` is ISO 8601 with an offset."""

    message: str
    level: Level = "info"
    attempt: int = 1
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @classmethod
    def of(cls, message: str, level: Level = "info", attempt: int = 1) -> LogLine:
        """A line of now, without what the owner is not to see."""
        shown = "".join(sign if sign.isprintable() else " " for sign in message)
        shown = _PATH.sub("[path]", clean(" ".join(shown.split())))
        return cls(
            shown if len(shown) <= MAX_MESSAGE else f"{shown[: MAX_MESSAGE - 1]}…", level, attempt
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def bounded(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last lines, at most ``MAX_LINES`` of at most ``MAX_BYTES`` as JSON."""
    kept: list[dict[str, Any]] = []
    room = MAX_BYTES
    for line in reversed(list(lines)[-MAX_LINES:]):
        room -= len(json.dumps(line))
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]
