"""The end of an attempt: its files go to the bucket, then the row and the credits move, once.

Both wait out a store that is down for about a minute, while the heartbeat keeps the lease. After
that the row is left as it is, running: its lease runs out and the keeper gives it another attempt.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import insert

from billing.settlement import Outcome, settle
from db.errors import StoreUnavailable
from db.ids import new_id
from db.jobs import queries
from db.object_store import output_key
from db.tables import File, Job
from deployments.contract import Artifact
from deployments.messaging.retry import STORE_DOWN, retry_while_unavailable
from deployments.stores import Stores
from deployments.worker.context import RunContext, StopReason

STORE_TIMEOUT_S = 60.0
DOCUMENT_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class AttemptLost(Exception):
    """The row belongs to another attempt, or is final: nothing of this one may be kept."""


async def upload_outputs(
    stores: Stores, job: Job, context: RunContext, artifacts: Sequence[Artifact]
) -> list[dict[str, Any]]:
    """Store the files under names that carry the attempt; returns the job's ``outputs``.

    Raises:
        AttemptLost: noticed before a file was sent; those already sent are swept later.
        StoreUnavailable: the bucket could not be reached for a minute.
    """
    return [await _upload_output(stores, job, context, artifact) for artifact in artifacts]


async def _upload_output(
    stores: Stores, job: Job, context: RunContext, artifact: Artifact
) -> dict[str, Any]:
    name = artifact.path.name
    key = output_key(job.user_id, job.id, job.attempt, name)

    async def put() -> tuple[str, int]:
        _check_owned(context)
        return await stores.objects.put_file(key, artifact.path, artifact.content_type)

    sha256, size = await retry_while_unavailable(
        "upload", put, STORE_TIMEOUT_S, stop_if=lambda: context.stop_reason is StopReason.LOST
    )
    return {
        "name": name,
        "kind": artifact.kind,
        "content_type": artifact.content_type,
        "bytes": size,
        "width": artifact.width,
        "height": artifact.height,
        "duration_s": artifact.duration_s,
        "sha256": sha256,
        "object_key": key,
    }


async def settle_attempt(stores: Stores, job: Job, context: RunContext, ending: Outcome) -> Job:
    """Settle ``job`` and record its files, in one transaction; returns the row as it now is.

    Raises:
        AttemptLost: the row had moved on; nothing was changed.
    """

    async def attempt_to_end() -> Job | None:
        _check_owned(context)
        async with stores.sessions.begin() as session:
            ended = await settle(session, job, ending)
            if ended is not None and ending.outputs:
                await session.execute(insert(File), [_file_row(job, out) for out in ending.outputs])
            # A commit whose answer got lost in an outage looks like a lost row the second time.
            now = ended or await queries.get(session, job.id)
        ours = now is not None and (now.status, now.attempt) == (ending.status, job.attempt)
        return now if ours else None

    ended = await retry_while_unavailable(
        "settle",
        attempt_to_end,
        STORE_TIMEOUT_S,
        stop_if=lambda: context.stop_reason is StopReason.LOST,
    )
    if ended is None:
        raise AttemptLost(job.id)
    return ended


async def write_metadata(
    stores: Stores, ended: Job, context: RunContext, extra: dict[str, Any]
) -> None:
    """Write the job's metadata document; without it the job is still whole."""
    notes = context.notes()
    document = {
        "generator": ended.generator,
        "status": ended.status,
        "attempt": ended.attempt,
        "seed": ended.seed,
        "stages": notes.stages,
        "files": [_public_output(output) for output in ended.outputs],
        **extra,
        # A generator may note what JSON does not know, such as a path: its text will do.
        "notes": json.loads(json.dumps(notes.values, default=str)),
    }
    try:
        async with asyncio.timeout(DOCUMENT_TIMEOUT_S):
            await stores.documents.merge(ended.id, document)
    except (*STORE_DOWN, StoreUnavailable, TimeoutError, ValueError) as error:
        log.warning("document_not_written", error=type(error).__name__)


def _public_output(output: dict[str, Any]) -> dict[str, Any]:
    """An output without its place in the bucket, which is no client's business."""
    return {name: value for name, value in output.items() if name != "object_key"}


def _file_row(job: Job, output: dict[str, Any]) -> dict[str, Any]:
    copied = ("object_key", "name", "content_type", "bytes", "sha256")
    return {
        "id": new_id("file"),
        "user_id": job.user_id,
        "job_id": job.id,
        "purpose": "output",
        **{name: output[name] for name in copied},
    }


def _check_owned(context: RunContext) -> None:
    if context.stop_reason is StopReason.LOST:
        raise AttemptLost
