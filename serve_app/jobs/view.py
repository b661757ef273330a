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
    messages = ((job.id, waiting_message(clients, job)) for job in rows)
    waiting = {job_id: message for job_id, message in messages if message is not None}
    positions, since = await queue_positions(clients, waiting), links_since(clients)
    return [job_view_at(clients, job, positions.get(job.id), since) for job in rows]


def job_view_at(clients: Clients, job: Job, queue_position: int | None, since: datetime) -> JobView:
    """Return the job, whose position in the queue is known, with links that begin at ``since``."""
    lasts = timedelta(seconds=clients.settings.limits.link_seconds)
    fields = job_representation(job, clients.objects, lasts, since)
    return JobView.model_validate({**fields, "queue_position": queue_position})


def links_since(clients: Clients) -> datetime:
    """Return when links that are made now begin to last."""
    step = max(1, clients.settings.limits.link_seconds // LINK_STEPS)
    return datetime.fromtimestamp(int(time.time()) // step * step, UTC)


def waiting_message(clients: Clients, job: Job) -> tuple[str, str] | None:
    """Return the job's generator and its name in the queue, if it waits in one of ours."""
    if job.status != "queued" or job.generator not in clients.queues:
        return None
    return job.generator, next_message_id(job)


async def queue_positions(
    clients: Clients, waiting: Mapping[str, tuple[str, str]]
) -> Mapping[str, int | None]:
    """Return the place of each job, of which the message is given, as far as it can be read."""
    if not waiting:
        return {}
    messages = list(waiting.values())
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if len(messages) == 1:
                places = [await clients.find_position(messages[0])]
            else:
                places = await read_positions(clients.redis, messages)
    except (StoreUnavailable, TimeoutError):
        return {}
    return dict(zip(waiting, places, strict=True))
