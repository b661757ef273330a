"""Read a JSONL file of jobs as the wild writes it: a job a line, and a reason for each bad line.

UTF-8 with or without a byte order mark, and UTF-16; lines end at LF or CRLF and nowhere else, since
JSON strings may hold U+2028 and U+0085. Empty lines are skipped.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NoReturn

_MARK = "\ufeff"
_SURROGATE = re.compile("[\ud800-\udfff]")
_COMMENTS = ("#", "//", "/*", "--")
# Of the values of a line and of a file, counted as these wherever they stand: each takes a hundred
# bytes of memory once it is read.
_MARKS = (b",", b"[", b"{")
MAX_LINE_MARKS = 100_000
MAX_FILE_MARKS = 1_000_000


@dataclass(frozen=True)
class Line:
    number: int
    body: dict[str, Any]


@dataclass(frozen=True)
class RefusedLine:
    """A line that is no job: ``field`` is the dotted path in its object, or empty."""

    number: int
    field: str
    reason: str


class BatchError(RuntimeError):
    """The batch cannot be run; the message says why."""


class _Fault(ValueError):
    def __init__(self, reason: str, *path: str | int) -> None:
        super().__init__(reason)
        self.field = ".".join(map(str, path))


def read_lines(
    content: bytes, *, most_lines: int | None = None, most_refused: int | None = None
) -> tuple[list[Line], list[RefusedLine]]:
    """Return the file's jobs, and the lines that are none.

    Raises:
        BatchError: the file is not in the encoding that it begins in; with ``most_lines``, it has
            more lines, empty ones included, or more values than so many jobs need.
    """
    lines: list[Line] = []
    refused: list[RefusedLine] = []
    marks = 0
    for number, raw in enumerate(_split(content), start=1):
        if most_lines is not None and number > most_lines:
            raise BatchError(f"the file has more than {most_lines:,} lines")
        of_line = sum(map(raw.count, _MARKS))
        marks += of_line
        if most_lines is not None and marks > MAX_FILE_MARKS:
            raise BatchError(f"the lines have more than {MAX_FILE_MARKS:,} values")
        try:
            body = _parse(raw) if of_line <= MAX_LINE_MARKS else _refuse_values()
        except _Fault as fault:
            refused.append(RefusedLine(number, fault.field, str(fault)))
            if most_refused is not None and len(refused) >= most_refused:
                break
            continue
        if body is not None:
            lines.append(Line(number, body))
    return lines, refused


def _split(content: bytes) -> Iterator[bytes]:
    """Yield the lines of the file as UTF-8, without their ends.

    Raises:
        BatchError: the file is damaged.
    """
    encoding = json.detect_encoding(content)
    try:
        if encoding not in ("utf-8", "utf-8-sig"):
            # Half a pair of UTF-16 stays, and is refused by its line.
            content = content.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        words = f"the file begins as {encoding.upper()}, but is damaged: {error}"
        raise BatchError(words) from error
    for line in BytesIO(content):
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _refuse_values() -> NoReturn:
    raise _Fault(f"more than {MAX_LINE_MARKS:,} values")


def _parse(raw: bytes) -> dict[str, Any] | None:
    """Return the job of a line; None if the line is empty.

    Raises:
        _Fault: it is no job.
    """
    try:
        text = raw.decode("utf-8", "surrogatepass").lstrip(_MARK)
    except UnicodeDecodeError as error:
        raise _Fault(f"not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02X}") from None
    if not text.strip():
        return None
    if text.lstrip().startswith(_COMMENTS):
        raise _Fault("a comment, which JSON has not: take the line out")
    try:
        body = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _Fault(_not_json(text, error)) from None
    except RecursionError:
        raise _Fault("nested too deep") from None
    except _Fault:
        raise
    except ValueError:  # Python's own bound for whole numbers
        raise _Fault("a number has too many digits") from None
    if not isinstance(body, dict):
        raise _Fault('not an object: write {"generator": "...", "input": {...}} on one line')
    for name in ("generator", "input"):
        if name not in body:
            raise _Fault("missing", name)
    for fault in _unsendable(body):
        raise fault
    return body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise _Fault("given twice; one of them would be lost", names.most_common(1)[0][0])
    return found


def _refuse_constant(name: str) -> Any:
    raise _Fault(f"{name} is no number of JSON")


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    reason = f"not JSON: {error.msg}, column {error.colno}"
    if error.msg == "Extra data":
        reason = f"more than one value on the line, from column {error.pos + 1}"
        if "\r" in text:
            reason += "; lines end at LF or CRLF, and here CR stands alone"
    elif text.strip() in ("[", "]", "],", "{", "}", "},") or error.pos >= len(text.rstrip()):
        reason += "; an object must be whole on its line"
    return reason


def _unsendable(body: dict[str, Any]) -> Iterator[_Fault]:
    """Yield what JSON can write, and a request cannot hold."""
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), body)]
    while todo:
        path, item = todo.pop()
        if isinstance(item, str) and (found := _SURROGATE.search(item)) is not None:
            code = f"\\u{ord(found[0]):04x}"
            yield _Fault(
                f"character {found.start() + 1} is {code}, half a surrogate pair"
                " (an emoji that was cut in two)",
                *path,
            )
        elif isinstance(item, float) and not math.isfinite(item):
            yield _Fault("the number is too large", *path)
        elif isinstance(item, dict):
            for key, value in item.items():
                if _SURROGATE.search(key):
                    yield _Fault("a key holds half a surrogate pair", *path)
                todo.append(((*path, key), value))
        elif isinstance(item, list):
            todo += [((*path, number), value) for number, value in enumerate(item)]
