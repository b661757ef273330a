"""The metadata of a job: told beside its events while it runs, and a document once it has ended."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from contextlib import suppress
from typing import Any

import structlog

from db.errors import StoreUnavailable
from db.redis.job_reports import expire_reports
from db.tables import Job
from deployments.job_log import bounded
from deployments.messaging.job_reports import lines_before, tell
from deployments.retry import STORE_DOWN
from deployments.stores import Stores
from deployments.worker.context import RunContext

DOCUMENT_TIMEOUT_S = 10.0

log = structlog.get_logger(__name__)


async def tell_metadata(stores: Stores, job: Job, context: RunContext) -> None:
    """Tell what is known so far; the running stage has no seconds yet. Raises StoreUnavailable."""
    report = _facts(job, context)
    if report["stages"]:
        del report["stages"][-1]["seconds"]
    await tell(stores.redis, job, report)


async def write_metadata(stores: Stores, ended: Job, context: RunContext) -> None:
    """Write the job's metadata document; a failure is only logged."""
    document = _facts(ended, context)
    document["files"] = [_public_output(output) for output in ended.outputs]
    try:
        async with asyncio.timeout(DOCUMENT_TIMEOUT_S):
            before = await lines_before(stores.redis, ended)
            document["logs"] = bounded([*before, *document["logs"]])
            await stores.documents.merge(ended.id, document)
            with suppress(StoreUnavailable):  # they expire later, too
                await expire_reports(stores.redis, ended.id)
    except (*STORE_DOWN, StoreUnavailable, TimeoutError, ValueError) as error:
        log.warning("document_not_written", error=type(error).__name__)


def _facts(job: Job, context: RunContext) -> dict[str, Any]:
    notes = context.notes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "generator": job.generator,
        "status": job.status,
        "attempt": job.attempt,
        "seed": job.seed,
        "stages": notes.stages,
        # The most memory this replica has held so far, over all its jobs; kilobytes but on macOS.
        "memory_peak_bytes": peak if sys.platform == "darwin" else peak * 1024,
        "notes": _plain(notes.values),
        "logs": bounded(notes.lines),
    }


def _plain(notes: dict[str, Any]) -> Any:
    """Return notes as JSON in UTF-8, which every reader of a report or a document can be sent.

    What JSON cannot hold, such as a path, is its text; a number that is none is null.
    """
    text = json.dumps(notes, default=str, ensure_ascii=False)
    return json.loads(text.encode(errors="replace"), parse_constant=lambda _: None)


def _public_output(output: dict[str, Any]) -> dict[str, Any]:
    """The output without its key in the bucket, which clients do not see."""
    return {name: value for name, value in output.items() if name != "object_key"}
