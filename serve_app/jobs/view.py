"""Convert job rows into the answers of the API, with fresh links."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from db.errors import StoreUnavailable
from db.tables import Job
from deployments.job_representation import job_representation
from serve_app.jobs.schemas import JobView
from serve_app.resources import Clients

# The position in the queue is optional, so its read has a short timeout.
TIMEOUT_S = 0.5


async def job_view(clients: Clients, job: Job) -> JobView:
    """Return the job for its owner."""
    return _view(clients, job, await _queue_position(clients, job))


async def job_views(clients: Clients, rows: Sequence[Job]) -> list[JobView]:
    """Return several jobs; the queues are read concurrently."""
    positions = await asyncio.gather(*(_queue_position(clients, job) for job in rows))
    return [_view(clients, job, place) for job, place in zip(rows, positions, strict=True)]


def _view(clients: Clients, job: Job, queue_position: int | None) -> JobView:
    lasts = timedelta(seconds=clients.settings.limits.link_seconds)
    fields = job_representation(job, clients.objects, lasts)
    return JobView.model_validate({**fields, "queue_position": queue_position})


async def _queue_position(clients: Clients, job: Job) -> int | None:
    queue = clients.queues.get(job.generator)
    if job.status != "queued" or queue is None:
        return None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await queue.position(job.id, job.attempt + 1)
    except (StoreUnavailable, TimeoutError):
        return None
