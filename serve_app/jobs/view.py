"""A job row as the client sees it, with fresh links."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from db.errors import StoreUnavailable
from db.tables import FINAL_STATUSES, Job
from serve_app.clients import Clients
from serve_app.jobs.schemas import CostView, ErrorView, JobView, OutputView

# A place in the queue is a courtesy; nobody waits long for it.
PATIENCE_S = 0.5


async def job_view(clients: Clients, job: Job) -> JobView:
    """The whole job, for its owner."""
    return _view(clients, job, await _queue_position(clients, job))


async def job_views(clients: Clients, rows: Sequence[Job]) -> list[JobView]:
    """The same for many, asking the queues at the same time."""
    positions = await asyncio.gather(*(_queue_position(clients, job) for job in rows))
    return [_view(clients, job, place) for job, place in zip(rows, positions, strict=True)]


def _view(clients: Clients, job: Job, queue_position: int | None) -> JobView:
    final = job.status in FINAL_STATUSES
    return JobView.model_validate(
        {
            "id": job.id,
            "generator": job.generator,
            "status": job.status,
            "progress": job.progress,
            "stage": job.stage,
            "queue_position": queue_position,
            "input": job.input,
            "seed": job.seed,
            "attempt": job.attempt,
            "outputs": [_output(clients, output) for output in job.outputs],
            "error": ErrorView.model_validate(job.error) if job.error else None,
            "cost": CostView(
                estimated=job.credits_quoted, charged=job.credits_charged if final else None
            ),
            "priority": job.priority,
            "metadata": job.user_metadata,
            "created_at": job.created_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
        }
    )


def _output(clients: Clients, output: dict[str, Any]) -> OutputView:
    lasts = timedelta(seconds=clients.settings.limits.link_seconds)
    known = {name: output.get(name) for name in OutputView.model_fields}
    known["url"] = clients.objects.presign_get(
        output["object_key"], lasts, content_type=output["content_type"]
    )
    known["expires_at"] = datetime.now(UTC) + lasts
    return OutputView.model_validate(known)


async def _queue_position(clients: Clients, job: Job) -> int | None:
    queue = clients.queues.get(job.generator)
    if job.status != "queued" or queue is None:
        return None
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await queue.position(job.id, job.attempt + 1)
    except (StoreUnavailable, TimeoutError):
        return None
