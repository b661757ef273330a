"""Make one thing: submit an input, watch it, save what came of it.

    python -m scripts.make cloth_swap deployments/generators/cloth_swap/example/input.json
    python -m scripts.make image prompt="a big yellow circle on a blue background" n=2
    python -m scripts.make video3d mode=parallax image=@photo.jpg seconds=4

An input is a JSON file, or ``name=value`` (JSON, or else text), or both. ``@path`` stands for a
file, which is uploaded; inside a JSON file it is relative to that file. Where the service is and
who asks come from ``ATELIER_URL`` and ``ATELIER_API_KEY``, or from what ``./scripts/run`` wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.client import ApiClient, RequestRejected, ServiceNotFound, find_service


class BadArguments(RuntimeError):
    """What was given is no input; the message says what is wrong with it."""


def read_input(words: Sequence[str], place: Callable[[Path], Any]) -> dict[str, Any]:
    """The input that ``words`` describe, with ``place(path)`` wherever a file is named.

    Raises:
        BadArguments: a word is neither a JSON file nor ``name=value``, or a file is missing.
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            given[name] = _replace_paths(_value(value), Path(), place)
        else:
            path = Path(word)
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise BadArguments(f"{word} is no JSON file and no name=value: {error}") from error
            given |= _replace_paths(values, path.parent, place)
    return given


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
        path = folder / value[1:]
        if not path.is_file():
            raise BadArguments(f"there is no file {path}")
        return place(path)
    return value


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.make",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("generator", help="a name from /v1/generators")
    parser.add_argument("input", nargs="+", metavar="FILE.json | name=value | name=@file")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where results are saved")
    parser.add_argument("--url", help="base URL of the service")
    parser.add_argument("--dev", type=Path, default=Path(".atelier/dev.json"))
    arguments = parser.parse_args(argv)
    console = Console(file=sys.stdout)
    try:
        service = find_service(arguments.url, arguments.dev)
        client = ApiClient(service.url, service.api_key)
        try:
            given = read_input(arguments.input, lambda path: {"file_id": client.upload(path)})
            job = client.submit(arguments.generator, given)
            done = client.follow(job["id"], console)
            for path in client.save_outputs(done, arguments.out):
                console.print(str(path), highlight=False)
        finally:
            client.close()
    except (BadArguments, ServiceNotFound, RequestRejected) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
