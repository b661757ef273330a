"""The words of a command line as the input of a job."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_PICTURE = re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)")


class BadArguments(RuntimeError):
    """The arguments are no valid input; the message says why."""


def read_input(words: Sequence[str], place: Callable[[Path], Any] = Path) -> dict[str, Any]:
    """Build the input that ``words`` describe.

    A word is a JSON file (``-`` is standard input) or ``name=value``, whose value is JSON or else
    text. ``@path`` as a value stands for a file, and ``place(path)`` for that in the result; in a
    JSON file it is relative to that file.

    Raises:
        BadArguments: a word is neither of the two, or a file is missing.
    """
    job_input: dict[str, Any] = {}
    for word in words:
        if is_pair(word):
            name, _, value = word.partition("=")
            job_input[name] = _replace_paths(_value(value), Path(), place)
        else:
            folder = Path() if word == "-" else Path(word).parent
            job_input |= _replace_paths(_read_object(word), folder, place)
    return job_input


def is_pair(word: str) -> bool:
    """Return whether a word is ``name=value``."""
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def existing(word: str) -> Path:
    """Return the file that a word names.

    Raises:
        BadArguments: there is none.
    """
    path = Path(word.removeprefix("@"))
    if not path.is_file():
        raise BadArguments(f"there is no file {path}")
    return path


def read_text(word: str) -> str:
    """Read the file that a word names; ``-`` is standard input.

    Raises:
        BadArguments: it cannot be read as text.
    """
    try:
        return sys.stdin.read() if word == "-" else Path(word).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadArguments(f"{word} cannot be read: {error}") from error


def pictures_of(markdown: str, folder: Path) -> dict[str, Path]:
    """Return the local pictures that a document shows, by their names."""
    paths = (folder / found for found in _PICTURE.findall(markdown) if "://" not in found)
    return {path.name: path for path in paths if path.is_file()}


def _read_object(word: str) -> dict[str, Any]:
    try:
        values = json.loads(read_text(word))
    except (ValueError, BadArguments) as error:
        raise BadArguments(f"{word} is no JSON file and no name=value: {error}") from error
    if not isinstance(values, dict):
        raise BadArguments(f"{word} holds no JSON object")
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _replace_paths(value: Any, folder: Path, place: Callable[[Path], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _replace_paths(item, folder, place) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace_paths(item, folder, place) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        return place(existing(str(folder / value[1:])))
    return value
