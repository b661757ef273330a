"""How a job is made: its document once it has ended, and what its attempts have told until then."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from db.errors import StoreUnavailable
from db.tables import FINAL_STATUSES, Job
from deployments.messaging.job_reports import read_told
from serve_app.jobs.schemas import LogLineView, MetadataView
from serve_app.resources import Clients


async def read_metadata(clients: Clients, job: Job) -> MetadataView:
    """Return what is known of the job. Without Redis, nothing is known of one that runs.

    Raises:
        StoreUnavailable: the documents could not be read.
    """
    if job.attempt == 0 and job.cached_from is None:
        return MetadataView(job_id=job.id, metadata={}, logs=[])
    known = await _told(clients, job) if job.status not in FINAL_STATUSES else {}
    # Between the last row that was read and now the job may have ended, or its document be late.
    known = known or await clients.documents.get(job.id) or await _told(clients, job)
    logs = [LogLineView.model_validate(line) for line in known.pop("logs", [])]
    return MetadataView(job_id=job.id, metadata=known, logs=logs)


async def read_log(clients: Clients, job: Job) -> Sequence[LogLineView]:
    """Return the lines of the job's log; none while the stores that have them are away."""
    with suppress(StoreUnavailable):
        return (await read_metadata(clients, job)).logs
    return []


async def _told(clients: Clients, job: Job) -> dict[str, Any]:
    with suppress(StoreUnavailable):
        if told := await read_told(clients.redis, job.id):
            return {**told, "status": job.status}
    return {}
