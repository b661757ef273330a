"""Convert job rows into the answers of the API, with fresh links."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from db.errors import StoreUnavailable
from db.jobs.queue_messages import next_message_id
from db.redis.queue import read_positions
from db.tables import Job
from deployments.job_representation import job_representation
from serve_app.jobs.schemas import JobView
from serve_app.resources import Clients

# Links begin at whole steps, of which their time has so many: within one the answer for a final job
# is the same.
LINK_STEPS = 12
# The position in the queue is optional, so its read has a short timeout.
TIMEOUT_S = 0.5


async def job_view(clients: Clients, job: Job) -> JobView:
    """Return the job for its owner."""
    return (await job_views(clients, [job]))[0]


async def job_views(clients: Clients, rows: Sequence[Job]) -> list[JobView]:
    """Return several jobs."""
    positions = await _queue_positions(clients, rows)
    return [job_view_at(clients, job, positions.get(job.id)) for job in rows]


def job_view_at(clients: Clients, job: Job, queue_position: int | None) -> JobView:
    """Return the job, whose position in the queue is known."""
    seconds = clients.settings.limits.link_seconds
    step = max(1, seconds // LINK_STEPS)
    begun = datetime.fromtimestamp(int(time.time()) // step * step, UTC)
    fields = job_representation(job, clients.objects, timedelta(seconds=seconds), begun)
    return JobView.model_validate({**fields, "queue_position": queue_position})


async def _queue_positions(clients: Clients, rows: Sequence[Job]) -> Mapping[str, int | None]:
    """Return the place of each job that waits, as far as it can be read."""
    waiting = [job for job in rows if job.status == "queued" and job.generator in clients.queues]
    if not waiting:
        return {}
    messages = [(job.generator, next_message_id(job)) for job in waiting]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if len(messages) == 1:
                places = [await clients.find_position(messages[0])]
            else:
                places = await read_positions(clients.redis, messages)
    except (StoreUnavailable, TimeoutError):
        return {}
    return {job.id: place for job, place in zip(waiting, places, strict=True)}
