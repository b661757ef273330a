"""The alerts of ops/prometheus: how far back their expressions look."""

from __future__ import annotations

import re

from tests.support.rules import alerts, metric_names, rules

_RANGE = re.compile(r"\[(\d+)([smhd])\]|\boffset (\d+)([smhd])\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def alert_names() -> list[str]:
    """In the order of the files."""
    return [alert["alert"] for alert in alerts()]


def look_back_s(expression: str) -> int:
    """For how many seconds a cause that is gone can still be seen; 0 if only what is now counts.

    The shortest range, also of the recordings that the expression reads: two ranges are always
    joined by ``and``, which ends with the shorter one.
    """
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    texts = [expression, *(recorded[name] for name in metric_names(expression) & set(recorded))]
    ranges = [
        int(number or shift) * _SECONDS[unit or shift_unit]
        for text in texts
        for number, unit, shift, shift_unit in _RANGE.findall(text)
    ]
    return min(ranges, default=0)
