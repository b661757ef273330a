"""Read a job, a page of jobs, or wait until a job is final."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from starlette.types import Receive

from db.jobs import queries
from db.retries import retry_context
from db.tables import FINAL_STATUSES, Job
from serve_app.auth.identity import Identity
from serve_app.http.errors import NotFound
from serve_app.http.event_source import until_disconnected
from serve_app.http.problems import STORE_FAILURES
from serve_app.resources import Clients

MAX_WAIT_S = 60
STORE_PATIENCE_S = 10.0

Read = TypeVar("Read")


async def get_job(clients: Clients, user_id: str, job_id: str) -> Job:
    """Return the job; raises NotFound, also for another user's job."""
    job = await clients.find_job((job_id, user_id))
    if job is None:
        raise NotFound
    return job


async def list_jobs(
    clients: Clients, user_id: str, which: queries.JobFilter, after: str | None, limit: int
) -> Sequence[Job]:
    """List up to ``limit`` jobs, newest first; the list may be a few seconds old."""
    return await clients.read_sessions(
        lambda session: queries.page(session, user_id, which, after, limit),
    )


async def wait_for_job(
    clients: Clients, identity: Identity, job_id: str, wait_s: float, receive: Receive
) -> Job:
    """Wait until the job is final, ``wait_s`` have passed or the client disconnected; return it.

    No connection to a store is held while waiting. ``receive`` is that of the request.

    Raises:
        NotFound: there is no such job, or it belongs to somebody else.
        TooManyStreams, Unavailable: too many requests wait (``OpenStreams``).
    """
    if wait_s <= 0:
        return await get_job(clients, identity.user_id, job_id)
    wait_s = min(wait_s, MAX_WAIT_S)
    with clients.open_streams.admit(identity.user_id, identity.plan):
        return await until_final(clients, identity.user_id, job_id, wait_s, receive)


async def until_final(
    clients: Clients, user_id: str, job_id: str, seconds: float, receive: Receive
) -> Job:
    """Return the job when it is final, ``seconds`` have passed or the client has left.

    A store that is late or away for a moment ends no wait: the job goes on, too. It may then last
    ``STORE_PATIENCE_S`` longer.

    Raises:
        NotFound: there is no such job, or it belongs to somebody else.
    """
    until = time.monotonic() + seconds
    with clients.job_watch.listen(job_id, only_end=True) as listener:
        leaving = asyncio.create_task(until_disconnected(receive))
        leaving.add_done_callback(lambda _: listener.hear(None))
        try:
            while not leaving.done() and (remaining_s := until - time.monotonic()) > 0:
                read = partial(clients.job_watch.read_state, job_id, user_id)
                state = await _patiently(read, remaining_s)
                if state is None:
                    raise NotFound
                if state.status in FINAL_STATUSES:
                    break
                if (await listener.wait(until - time.monotonic())).ended:
                    break  # the end is published once it is in the row
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
    return await _patiently(partial(get_job, clients, user_id, job_id), seconds)


async def _patiently(read: Callable[[], Awaitable[Read]], seconds: float) -> Read:
    """Try again while a store fails, for ``STORE_PATIENCE_S`` and ``seconds`` at most."""
    async for attempt in retry_context(
        on=STORE_FAILURES,
        attempts=None,
        timeout=min(seconds, STORE_PATIENCE_S),
        wait_initial=0.2,
        wait_max=2.0,
    ):
        with attempt:
            return await read()
    raise AssertionError("the last attempt returned or raised")
