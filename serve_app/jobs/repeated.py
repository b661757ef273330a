"""Requests that a client repeats without an ``Idempotency-Key``, as other services' clients do.

They repeat a request whose answer they lost and say so in a header. The repetition gets the job of
the request before; two requests that are alike and no repetition get a job each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from ulid import ULID

from db.jobs import queries
from db.tables import Job
from serve_app.auth.identity import Identity
from serve_app.http import idempotency
from serve_app.jobs.schemas import SubmitBody
from serve_app.jobs.submit import confirm_push, submit
from serve_app.resources import Clients

# Clients wait up to ten minutes for an answer before they ask again.
WITHIN = timedelta(minutes=30)


async def submit_or_find(
    clients: Clients,
    identity: Identity,
    fingerprint: str,
    body: Callable[[], Awaitable[SubmitBody]],
    *,
    repeats: bool,
    request_id: str,
) -> Job:
    """Return the job of a request: the one of the request it ``repeats``, or a new one.

    ``fingerprint`` is the same for requests that are alike; ``body`` is called for a new job only.
    A job that failed or was canceled is made anew. Raises what ``submit`` does.
    """
    prefix = f"repeatable-{fingerprint}-"
    if repeats and (found := await _find(clients, identity.user_id, prefix)) is not None:
        return found
    done = await submit(clients, identity, await body(), f"{prefix}{ULID()}", request_id)
    if done.pushed:
        await confirm_push(clients.sessions, done.job.id)
    return done.job


async def _find(clients: Clients, user_id: str, prefix: str) -> Job | None:
    async with clients.sessions() as session:
        job_id = await idempotency.find_latest(session, user_id, prefix, WITHIN)
        job = await queries.get_owned(session, job_id, user_id) if job_id else None
    return None if job is None or job.status in ("failed", "canceled") else job
