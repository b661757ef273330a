"""``batch``: submit a file of jobs, follow them, and save what they make, as often as need be.

The folder holds all that is known of the batch, so a run that was interrupted goes on from there:

    batch.json      the file's hash, the idempotency key, and the batch's id once it is submitted
    results.jsonl   a line for each job that has ended, written when its outputs are saved
    7/image-0.png   the outputs of line 7
"""

from __future__ import annotations

import argparse
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from atelier_client.batches import Batch, BatchResult, content_key
from atelier_client.client import Client
from atelier_client.command.exits import INTERRUPTED, JOB_FAILED, OK, REFUSED
from atelier_client.command.inputs import BadArguments, existing
from atelier_client.command.screen import Reporter, Screen
from atelier_client.errors import BadInput, describe_problem

# Between two looks at the batch, in seconds.
INTERVAL_S = 2.0


def add_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the parser; ``add`` is its ``add_parser``."""
    what = "run the jobs of a JSON Lines file, one a line; run it again to go on"
    batch = add("batch", help=what, description=f"{what[0].upper()}{what[1:]}.")
    batch.set_defaults(handle=_batch)
    batch.add_argument("file", metavar="FILE.jsonl", help='{"generator": ..., "input": {...}}')
    batch.add_argument(
        "-o", "--out", metavar="DIR", help="save outputs here (default: out/NAME-HASH/)"
    )
    batch.add_argument(
        "--priority", choices=("high", "normal", "low"), default="low",
        help="of all jobs; low, the default, costs half",
    )  # fmt: skip
    batch.add_argument(
        "--again", action="store_true", help="make all of the file's jobs once more, in another -o"
    )


@dataclass(frozen=True)
class Record:
    """What ``batch.json`` holds. ``batch_id`` is empty until the service has taken the batch."""

    file: str
    key: str
    batch_id: str = ""


class Folder:
    """The folder of a batch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record, self._results = path / "batch.json", path / "results.jsonl"

    def read_record(self) -> Record | None:
        """Return what is known of the batch; None in a new folder.

        Raises:
            BadArguments: the file is damaged.
        """
        try:
            return Record(**json.loads(self._record.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise BadArguments(f"{self._record} is damaged: {error}") from error

    def write_record(self, record: Record) -> None:
        """Keep what is known of the batch: all of it or, if this is interrupted, nothing new."""
        self.path.mkdir(parents=True, exist_ok=True)
        new = self._record.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(asdict(record), indent=2), encoding="utf-8")
        new.replace(self._record)

    def results(self) -> list[BatchResult]:
        """The jobs whose outputs are saved. A line that was cut off is taken out of the file.

        Raises:
            BadArguments: the file is damaged.
        """
        if not self._results.exists():
            return []
        content = self._results.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(self._results, len(whole))
        try:
            return [BatchResult.model_validate_json(line) for line in whole.splitlines()]
        except ValidationError as error:
            raise BadArguments(f"{self._results} is damaged: {error}") from error

    def add(self, result: BatchResult) -> None:
        """Note that the outputs of this job are saved."""
        with self._results.open("ab") as file:
            file.write(result.model_dump_json().encode() + b"\n")


def _batch(client: Client, screen: Screen, arguments: argparse.Namespace) -> int:
    file = existing(arguments.file)
    content = file.read_bytes()
    key = content_key(content)
    short = key.removeprefix("batch-")[:8]
    folder = Folder(Path(arguments.out or f"out/{file.stem}-{short}"))
    record = folder.read_record()
    if record is None or (record.file != key and not record.batch_id):  # that one was refused
        record = Record(key, f"{key}-{uuid.uuid4()}" if arguments.again else key)
    elif record.file != key:
        raise BadArguments(f"{folder.path} holds the batch of another file; name another -o")
    elif arguments.again:
        raise BadArguments(f"{folder.path} holds the batch before; name another -o")
    batch = _submit(client, screen, arguments, folder, record, content)
    if batch is None:
        return REFUSED
    return _finish(client, screen, folder, batch, content)


def _submit(
    client: Client,
    screen: Screen,
    arguments: argparse.Namespace,
    folder: Folder,
    record: Record,
    content: bytes,
) -> Batch | None:
    """Find the batch of the record, or submit it; None if lines were refused.

    The key is written before the request goes out: if this is killed in between, the next run asks
    with the same key and finds the batch.
    """
    if record.batch_id:
        return client.batches.get(record.batch_id)
    folder.write_record(record)
    try:
        batch = client.batches.create(
            content, priority=arguments.priority, idempotency_key=record.key
        )
    except BadInput as refused:
        if screen.as_json or not refused.errors:
            raise
        for error in refused.errors:
            screen.note(_place(error["loc"]) + describe_problem({"errors": [{**error, "loc": []}]}))
        screen.note("atelier: nothing was submitted")
        return None
    folder.write_record(Record(record.file, record.key, batch.id))
    screen.note(f"{batch.id}: {batch.counts.total} jobs, {batch.cost.estimated} credits at most")
    return batch


def _place(path: list[str | int]) -> str:
    """Where a fault is: ``line 2, input.prompt: ``."""
    if path[:1] != ["line"]:
        return ".".join(map(str, path)) + ": "
    return ", ".join(filter(None, [f"line {path[1]}", ".".join(map(str, path[2:]))])) + ": "


def _finish(client: Client, screen: Screen, folder: Folder, batch: Batch, content: bytes) -> int:
    results = {result.line: result for result in folder.results()}
    try:
        with screen.progress() as reporter:
            for result in _follow(client, batch.id, reporter, set(results), _line_numbers(content)):
                if result.job.outputs:
                    client.jobs.save(result.job, folder.path / str(result.line))
                folder.add(result)
                results[result.line] = result
    except KeyboardInterrupt:
        screen.note(
            f"{batch.id} goes on: the same command follows it, "
            f"`atelier cancel {batch.id}` cancels it."
        )
        return INTERRUPTED
    batch = client.batches.get(batch.id)
    if screen.as_json:
        screen.answer(batch)
    else:
        screen.result(f"{folder.path}/")
    for line, result in sorted(results.items()):
        if result.job.status != "succeeded":
            reason = f": {result.job.error.detail}" if result.job.error else ""
            screen.note(f"line {line}: {result.job.id} is {result.job.status}{reason}")
    return OK if batch.counts.succeeded == batch.counts.total else JOB_FAILED


def _follow(
    client: Client, batch_id: str, reporter: Reporter, seen: set[int], numbers: list[int]
) -> Iterator[BatchResult]:
    """Yield each job that ends and was not ``seen``, until all have ended.

    Reads on from the first of the file's lines that is missing: jobs end about in their order.
    """
    while True:
        batch = client.batches.get(batch_id)
        counts = batch.counts
        ended = counts.total - counts.unfinished
        failed = f", {counts.failed} failed" if counts.failed else ""
        reporter.show(f"{ended} of {counts.total}{failed}", ended / counts.total)
        if ended > len(seen):
            missing = next((number for number in numbers if number not in seen), 1)
            for result in client.batches.results(batch_id, after=missing - 1):
                if result.line not in seen:
                    yield result
                    seen.add(result.line)
        if batch.is_final:
            return
        time.sleep(INTERVAL_S)


def _line_numbers(content: bytes) -> list[int]:
    """The numbers of the lines that are jobs: the service counts from 1, empty ones too."""
    text = content.decode(json.detect_encoding(content), "replace")
    return [number for number, line in enumerate(text.split("\n"), 1) if line.strip()]
