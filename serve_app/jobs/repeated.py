"""Requests that a client repeats without an ``Idempotency-Key``, as other services' clients do.

A request is repeated when its answer was lost. Some clients say in a header that they repeat a
request: the repetition gets the job of the last request that was like it. Others do not say so:
where the server saw that a client left before its answer, the next request that is like it gets
that job. Which of several equal requests is repeated is not known, and does not matter to what is
charged. Any other request gets a job of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from starlette.types import Receive
from ulid import ULID

from db.jobs import queries
from db.tables import FINAL_STATUSES, Job
from serve_app.auth.identity import Identity
from serve_app.http import idempotency
from serve_app.http.errors import Problem
from serve_app.http.problems import STORE_FAILURES
from serve_app.jobs.read import until_final
from serve_app.jobs.schemas import SubmitBody
from serve_app.jobs.submit import submit
from serve_app.resources import Clients

# Clients wait up to ten minutes for an answer before they ask again.
WITHIN = timedelta(minutes=30)

# How the keys begin under which these requests are stored. Those that clients send have no blanks.
ANSWERED, LOST = "repeatable ", "answer lost "

# Requests that are alike come in one after the other, so that a repetition finds the job of a
# request that is still at work. This holds within one ingress process.
_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
# What outlives its call; without a reference a task may be collected.
_going_on: set[asyncio.Task[None]] = set()


async def submit_or_find(
    clients: Clients,
    identity: Identity,
    body: SubmitBody,
    *,
    repeats: bool,
    idempotency_key: str | None,
    request_id: str,
    fresh: bool = False,
) -> Job:
    """Return the job of a request: the one of the request it ``repeats``, or a new one.

    A job that failed or was canceled is made anew. With an ``idempotency_key`` that one decides.
    ``fresh`` is as in ``submit``. Raises what ``submit`` does.
    """
    async with _turn(identity, body) as fingerprint:
        if repeats and idempotency_key is None:
            found = await _find_last(clients, identity.user_id, fingerprint)
            if found is not None:
                return found
        return await _submit(
            clients, identity, body, fingerprint, idempotency_key, request_id, fresh
        )


async def submit_or_take_over(
    clients: Clients,
    identity: Identity,
    body: SubmitBody,
    *,
    has_left: Callable[[], Awaitable[bool]],
    idempotency_key: str | None,
    request_id: str,
    fresh: bool = False,
) -> Job:
    """Return the job of a request: one whose answer was lost, or a new one.

    ``has_left`` says whether the client of this request left. An answer that was sent and did not
    arrive is not noticed. With an ``idempotency_key`` that one decides. Raises what ``submit``
    does.
    """
    left = asyncio.Event()

    async def is_gone() -> bool:
        return left.is_set() or await has_left()

    work = asyncio.create_task(
        _submit_or_take_over(clients, identity, body, is_gone, idempotency_key, request_id, fresh)
    )
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:  # Ray Serve cancels the call of a client that left
        left.set()
        _keep(_mark_when_done(clients, identity.user_id, work))
        raise


async def wait_for_answer(
    clients: Clients, user_id: str, job_id: str, seconds: float, receive: Receive
) -> Job:
    """Wait until the job is final or the time is over, and return it.

    If it is not final then, or the client leaves, the next request that is like this one gets the
    job. ``receive`` is that of the request.
    """
    try:
        job = await until_final(clients, user_id, job_id, seconds, receive)
    except asyncio.CancelledError:
        _keep(mark_lost(clients, user_id, job_id))
        raise
    if job.status not in FINAL_STATUSES:
        await mark_lost(clients, user_id, job_id)
    return job


async def _submit_or_take_over(
    clients: Clients,
    identity: Identity,
    body: SubmitBody,
    is_gone: Callable[[], Awaitable[bool]],
    idempotency_key: str | None,
    request_id: str,
    fresh: bool,
) -> Job:
    async with _turn(identity, body) as fingerprint:
        job = None
        if idempotency_key is None:
            job = await _take_over(clients, identity.user_id, fingerprint)
        if job is None:
            job = await _submit(
                clients, identity, body, fingerprint, idempotency_key, request_id, fresh
            )
        if await is_gone():
            await mark_lost(clients, identity.user_id, job.id)
    return job


async def _mark_when_done(clients: Clients, user_id: str, work: asyncio.Task[Job]) -> None:
    with suppress(Problem, *STORE_FAILURES):  # there is no job, or no way to remember it
        await mark_lost(clients, user_id, (await work).id)


def _keep(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it though the call that asks for it is canceled."""
    task = asyncio.create_task(coroutine)
    _going_on.add(task)
    task.add_done_callback(_going_on.discard)


async def mark_lost(clients: Clients, user_id: str, job_id: str) -> None:
    """Remember that the client that asked for the job left without its answer."""
    async with clients.sessions.begin() as session:
        await idempotency.rename(session, user_id, ANSWERED, LOST, WITHIN, job_id)


@asynccontextmanager
async def _turn(identity: Identity, body: SubmitBody) -> AsyncIterator[str]:
    """Wait for the requests that are like this one; yields what they have in common."""
    fields = body.model_dump(mode="json")  # may carry pictures
    fingerprint = await asyncio.to_thread(idempotency.body_hash, "repeatable", fields)
    async with _turns.setdefault((identity.user_id, fingerprint), asyncio.Lock()):
        yield fingerprint


async def _submit(
    clients: Clients,
    identity: Identity,
    body: SubmitBody,
    fingerprint: str,
    idempotency_key: str | None,
    request_id: str,
    fresh: bool,
) -> Job:
    key = idempotency_key or f"{ANSWERED}{fingerprint} {ULID()}"
    return (await submit(clients, identity, body, key, request_id, fresh=fresh)).job


async def _find_last(clients: Clients, user_id: str, fingerprint: str) -> Job | None:
    async with clients.sessions() as session:
        prefix = f"{ANSWERED}{fingerprint} "
        job_id = await idempotency.find_latest(session, user_id, prefix, WITHIN)
        job = await queries.get_owned(session, job_id, user_id) if job_id else None
    return None if job is None or job.status in ("failed", "canceled") else job


async def _take_over(clients: Clients, user_id: str, fingerprint: str) -> Job | None:
    """Return a job whose answer was lost; from now on its answer is this request's."""
    of_lost, of_answered = f"{LOST}{fingerprint} ", f"{ANSWERED}{fingerprint} "
    async with clients.sessions.begin() as session:
        job_id = await idempotency.rename(session, user_id, of_lost, of_answered, WITHIN)
        job = await queries.get_owned(session, job_id, user_id) if job_id else None
    return None if job is None or job.status in ("failed", "canceled") else job
