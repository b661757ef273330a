"""What the command prints: tables and lines for people, JSON for programs (``--json``)."""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Credits:
    """An amount of credits: a number in JSON, with separators for people."""

    amount: int

    def __str__(self) -> str:
        return f"{self.amount:,}"


def print_rows(arguments: argparse.Namespace, rows: Sequence[Row], *, none: str) -> None:
    """Print rows with the same keys as a table, or as ``{"data": [...]}``; ``none``: no row."""
    if arguments.json:
        print_json({"data": rows})
    elif rows:
        print(table(rows))
    else:
        print(none)


def print_record(arguments: argparse.Namespace, record: Row) -> None:
    """Print one thing: a line for each key, or a JSON object."""
    if arguments.json:
        print_json(record)
        return
    width = max(map(len, record))
    for key, value in record.items():
        print(f"{_title(key):{width}}  {cell(value)}")


def print_done(arguments: argparse.Namespace, record: Row, sentence: str) -> None:
    """Print what was done: the sentence, or ``record`` as JSON."""
    print_json(record) if arguments.json else print(sentence)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=_plain))


def table(rows: Sequence[Row]) -> str:
    """Return the rows under their keys, in columns; numbers stand at the right."""
    titles = list(rows[0])
    lines = [[_title(title) for title in titles]]
    lines += [[cell(row[title]) for title in titles] for row in rows]
    right = [all(_is_number(row[title]) for row in rows) for title in titles]
    widths = [max(_width(line[place]) for line in lines) for place in range(len(titles))]
    return "\n".join(
        "  ".join(
            _padded(text, width, at_right)
            for text, width, at_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def cell(value: Any, now: datetime | None = None) -> str:
    """Return a value in words: times as ages, spans as "3 min", nothing as "-"."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return moment_in_words(value, now or datetime.now(UTC))
        case timedelta():
            return span_in_words(value)
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
        case dict():
            return _one_line(json.dumps(value, default=_plain))
    return _one_line(str(value))


def moment_in_words(moment: datetime, now: datetime) -> str:
    """Return ``2027-01-31 12:00 (3 min ago)``, in UTC."""
    away = now - moment
    span = span_in_words(abs(away))
    relation = f"in {span}" if away < timedelta() else f"{span} ago"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} ({relation})"


def span_in_words(span: timedelta) -> str:
    """Return a span in its largest unit: ``45 s``, ``3 min``, ``5 h``, ``12 d``."""
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        # From two units on, so that 90 minutes are not "1 h".
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _title(key: str) -> str:
    return key.replace("_", " ")


def _is_number(value: Any) -> bool:
    return value is None or (
        isinstance(value, int | float | Credits | timedelta) and not isinstance(value, bool)
    )


def _padded(text: str, width: int, at_right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if at_right else text + space


def _width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if wide else 1
        for letter in text
        for wide in (unicodedata.east_asian_width(letter) in "WF",)
    )


def _one_line(text: str) -> str:
    """Texts come from others: they break no line, and steer no terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return round(value.total_seconds(), 3)
        case Credits():
            return value.amount
    return str(value)
