"""Requests that a client repeats without an ``Idempotency-Key``, as other services' clients do.

They repeat a request whose answer they lost and say so in a header. The repetition gets the job of
the last request that was like it. Which of several it repeats is not known, and does not matter to
what is charged. A request that is no repetition always gets a job of its own.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from weakref import WeakValueDictionary

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

# Requests that are alike come in one after the other, so that a repetition finds the job of a
# request that is still at work. This holds within one ingress process.
_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


async def submit_or_find(
    clients: Clients,
    identity: Identity,
    body: SubmitBody,
    *,
    repeats: bool,
    idempotency_key: str | None,
    request_id: str,
) -> Job:
    """Return the job of a request: the one of the request it ``repeats``, or a new one.

    A job that failed or was canceled is made anew. With an ``idempotency_key`` that one decides.
    Raises what ``submit`` does.
    """
    fields = body.model_dump(mode="json")  # may carry pictures
    fingerprint = await asyncio.to_thread(idempotency.body_hash, "repeatable", fields)
    prefix = f"repeatable-{fingerprint}-"
    turn = _turns.setdefault((identity.user_id, fingerprint), asyncio.Lock())
    async with turn:
        if repeats and idempotency_key is None:
            found = await _find(clients, identity.user_id, prefix)
            if found is not None:
                return found
        key = idempotency_key or f"{prefix}{ULID()}"
        done = await submit(clients, identity, body, key, request_id)
    if done.pushed:
        await confirm_push(clients.sessions, done.job.id)
    return done.job


async def _find(clients: Clients, user_id: str, prefix: str) -> Job | None:
    async with clients.sessions() as session:
        job_id = await idempotency.find_latest(session, user_id, prefix, WITHIN)
        job = await queries.get_owned(session, job_id, user_id) if job_id else None
    return None if job is None or job.status in ("failed", "canceled") else job
