"""What is known of running jobs: what their attempts have told so far, beside the events.

Telling is best effort: a lost Redis loses lines of the log, and no part of the job.
"""

from __future__ import annotations

from typing import Any

import structlog
from redis.asyncio import Redis

from db.documents import JobDocuments
from db.errors import StoreUnavailable
from db.redis.job_reports import expire_reports, read_reports, write_report
from db.tables import Job
from deployments.job_log import Level, LogLine, bounded
from deployments.retry import STORE_DOWN

# Behind the number of an attempt that told nothing more itself.
_LOST = ":lost"

log = structlog.get_logger(__name__)


async def tell(redis: Redis, job: Job, report: dict[str, Any]) -> None:
    """Replace what the attempt has told so far; raises StoreUnavailable."""
    await write_report(redis, job.id, str(job.attempt), report)


async def tell_of_loss(redis: Redis, job: Job, message: str, level: Level = "warning") -> None:
    """Add the last line of an attempt that was lost with its worker."""
    line = LogLine.of(message, level, job.attempt).as_json()
    try:
        await write_report(redis, job.id, f"{job.attempt}{_LOST}", {"logs": [line]})
    except StoreUnavailable:
        log.info("loss_not_told", job_id=job.id)


async def read_told(redis: Redis, job_id: str) -> dict[str, Any]:
    """Return what the last attempt has told, with the ``logs`` of all; empty if nothing is known.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    reports = await read_reports(redis, job_id)
    told: dict[str, Any] = {}
    lines: list[dict[str, Any]] = []
    for name in sorted(reports, key=lambda name: (_number(name), name.endswith(_LOST))):
        told |= {} if name.endswith(_LOST) else reports[name]
        lines += reports[name]["logs"]
    return {**told, "logs": bounded(lines)} if reports else {}


async def lines_before(redis: Redis, job: Job) -> list[dict[str, Any]]:
    """Return the lines of the job's earlier attempts; none if Redis is away."""
    if job.attempt == 1:
        return []
    try:
        told = await read_told(redis, job.id)
    except StoreUnavailable:
        return []
    return [line for line in told.get("logs", []) if line["attempt"] < job.attempt]


async def keep_told(redis: Redis, documents: JobDocuments, ended: Job) -> None:
    """Write the document of a job that no attempt ended; a failure is only logged."""
    try:
        told = await read_told(redis, ended.id)
        told |= {
            "generator": ended.generator,
            "status": ended.status,
            "attempt": ended.attempt,
            "seed": ended.seed,
        }
        await documents.merge(ended.id, told)
        await expire_reports(redis, ended.id)
    except (*STORE_DOWN, ValueError) as error:
        log.warning("document_not_written", job_id=ended.id, error=type(error).__name__)


def _number(name: str) -> int:
    return int(name.removesuffix(_LOST))
