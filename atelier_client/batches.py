"""Batches: many jobs of one file; submit, read, cancel, wait, and read what has ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import httpx

from atelier_client.calls import Answer, Body, Call, Emit, Flow, Open, Page, Read, Sleep, ask
from atelier_client.errors import BatchTimedOut, ConnectionFailed
from atelier_client.files import upload_paths
from atelier_client.jobs import Job, Priority
from atelier_client.resources import D, Operation, Resource, Stream

BatchStatus = Literal["in_progress", "canceling", "completed", "canceled"]

# Between two looks at a batch, in seconds: soon at first, then rarely.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
# Of a results stream that breaks off without a new line.
ATTEMPTS = 3


class BatchCounts(Answer):
    """How many jobs of the batch there are, by how they ended."""

    total: int
    unfinished: int
    succeeded: int
    failed: int
    canceled: int


class BatchCost(Answer):
    """Credits: quoted at submit and held; charged for the jobs that have ended."""

    estimated: int
    charged: int
    unit: Literal["credit"] = "credit"


class Batch(Answer):
    """Many jobs that were submitted as one; ``jobs.list(batch=id)`` lists them."""

    id: str
    object: Literal["batch"] = "batch"
    status: BatchStatus
    priority: Priority
    counts: BatchCounts
    cost: BatchCost
    results: str
    webhook_url: str | None
    created_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether all of its jobs have ended, well or not."""
        return self.finished_at is not None


class BatchResult(Answer):
    """A job of a batch that has ended, and its line in the file, from 1."""

    line: int
    job: Job


def content_key(content: bytes, *options: str | None) -> str:
    """Return an idempotency key that a file always has: submitted twice with the same options, it
    is one batch."""
    said = json.dumps(options).encode() if options else b""
    return f"batch-{hashlib.sha256(content + said).hexdigest()}"


def create_batch(
    lines: Path | str | bytes | Iterable[Mapping[str, Any]],
    *,
    priority: Priority = "low",
    webhook_url: str | None = None,
    idempotency_key: str | None = None,
) -> Flow[Batch]:
    """Submit many jobs: all of them, or none if one is refused. At priority ``low`` they cost half.

    ``lines`` is a JSON Lines file by its path or its bytes, or rows of what ``jobs.create`` takes
    (``generator``, ``input``, ``metadata``, ``webhook_url``). Local files in the inputs of rows
    (``pathlib.Path``) are uploaded first. What has one ``idempotency_key`` (a hash of all that is
    said if left out) is one batch, for 24 hours.

    Raises:
        BadInput: ``errors`` names each bad line: ``["line", 2, "input", "prompt"]``.
    """
    if isinstance(lines, bytes):
        content = lines
    elif isinstance(lines, Path | str):
        content = Path(lines).read_bytes()
    else:
        rows = yield from upload_paths(list(lines))
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    key = idempotency_key or content_key(content, priority, webhook_url)
    options = {"priority": priority, "webhook_url": webhook_url}
    call = Call(
        "POST",
        "/v1/batches",
        form={name: value for name, value in options.items() if value is not None},
        file=("batch.jsonl", content),
        headers={"Idempotency-Key": key},
    )
    return (yield from ask(call, Batch))


def list_batches(*, limit: int | None = None, after: str | None = None) -> Flow[Page[Batch]]:
    """Your batches, newest first."""
    params = {"limit": limit, "after": after}
    return (yield from ask(Call("GET", "/v1/batches", params=params), Page[Batch]))


def get_batch(batch_id: str) -> Flow[Batch]:
    """A batch, and how many of its jobs have ended."""
    return (yield from ask(Call("GET", f"/v1/batches/{batch_id}"), Batch))


def cancel_batch(batch_id: str) -> Flow[Batch]:
    """Cancel what has not ended: waiting jobs cost nothing, running ones are asked to stop."""
    return (yield from ask(Call("POST", f"/v1/batches/{batch_id}/cancel"), Batch))


def wait_for_batch(batch_id: str, *, timeout_s: float | None = None) -> Flow[Batch]:
    """Wait until all jobs of a batch have ended, well or not.

    Raises:
        BatchTimedOut: they have not after ``timeout_s``; the batch goes on.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        batch = yield from get_batch(batch_id)
        if batch.is_final:
            return batch
        left_s = pause_s if until is None else until - time.monotonic()
        if left_s <= 0:
            raise BatchTimedOut(batch)
        yield Sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def batch_results(batch_id: str, *, after: int = 0) -> Flow[None]:
    """The jobs behind line ``after`` that have ended, by line.

    While the batch runs, lines are missing whose jobs have not ended; ask again for those. If the
    connection breaks, it is made again and goes on behind the last line.

    Raises:
        ConnectionFailed: it broke three times without a new line.
    """
    failures = 0
    while True:
        call = Call("GET", f"/v1/batches/{batch_id}/results", params={"after": after}, stream=True)
        body: Body = yield Open(call)
        rest = b""
        try:
            while chunk := (yield Read(body)):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    result = BatchResult.model_validate_json(line)
                    yield Emit(result)
                    after, failures = result.line, 0
            return
        except httpx.TransportError as cause:
            failures += 1
            if failures == ATTEMPTS:
                raise ConnectionFailed(f"GET {call.url}", cause) from cause
        yield Sleep(FIRST_PAUSE_S)


class Batches(Resource[D]):
    """``client.batches``."""

    create = Operation(create_batch)
    list = Operation(list_batches)
    get = Operation(get_batch)
    cancel = Operation(cancel_batch)
    wait = Operation(wait_for_batch)
    results = Stream(batch_results, BatchResult)
