"""Cancel a job of the user."""

from __future__ import annotations

from db.tables import Job
from deployments.messaging.cancellation import cancel_job
from serve_app.jobs.read import get_job
from serve_app.resources import Clients


async def cancel(clients: Clients, user_id: str, job_id: str) -> Job:
    """Cancel the job and return it: canceled, asked to stop, or final before. Idempotent.

    Raises:
        NotFound: also for another user's job.
    """
    job = await get_job(clients, user_id, job_id)
    return await cancel_job(clients.sessions, clients.redis, clients.queues, job)
