"""The jobs of a batch that have ended, as JSON Lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pydantic_core import to_json

from db.jobs import batches
from serve_app.auth.identity import Identity, is_still_valid
from serve_app.jobs.view import job_views
from serve_app.resources import Clients

PAGE = 200


async def result_lines(
    clients: Clients, identity: Identity, batch_id: str, after_line: int
) -> AsyncGenerator[bytes, None]:
    """Yield ``{"line": ..., "job": ...}`` for each job behind ``after_line`` that has ended.

    No connection is held while the client reads. It ends when the key or login is revoked.
    """
    while await is_still_valid(clients, identity):
        async with clients.sessions() as session:
            jobs = await batches.ended_jobs(session, batch_id, after_line, PAGE)
        if not jobs:
            return
        views = await job_views(clients, jobs)
        for job, view in zip(jobs, views, strict=True):
            yield to_json({"line": job.batch_line, "job": view.model_dump(mode="json")}) + b"\n"
        after_line = jobs[-1].batch_line or 0
