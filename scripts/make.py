"""Submit one job, show its progress, save its outputs.

    python -m scripts.make cloth_swap deployments/generators/cloth_swap/example/input.json
    python -m scripts.make image prompt="a big yellow circle on a blue background" n=2
    python -m scripts.make video3d mode=parallax image=@photo.jpg seconds=4

An input is a JSON file, or ``name=value`` (JSON, or else text), or both. ``@path`` stands for a
file, which is uploaded; inside a JSON file it is relative to that file. The address
of the service and the API key come from ``ATELIER_URL`` and ``ATELIER_API_KEY``, or from the file
that ``./scripts/run`` writes.
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
    """The arguments are no valid input; the message says why."""


def read_input(words: Sequence[str], place: Callable[[Path], Any]) -> dict[str, Any]:
    """Build the input that ``words`` describe, with ``place(path)`` in place of each file.

    Raises:
        BadArguments: a word is neither a JSON file nor ``name=value``, or a file is missing.
    """
    job_input: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            job_input[name] = _replace_paths(_value(value), Path(), place)
        else:
            path = Path(word)
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise BadArguments(f"{word} is no JSON file and no name=value: {error}") from error
            job_input |= _replace_paths(values, path.parent, place)
    return job_input


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
            job_input = read_input(arguments.input, lambda path: {"file_id": client.upload(path)})
            job = client.submit(arguments.generator, job_input)
            done = client.follow(job["id"], console)
            for path in client.save_outputs(done, arguments.out):
                console.print(str(path), highlight=False)
        finally:
            client.close()
    except (BadArguments, ServiceNotFound, RequestRejected) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
