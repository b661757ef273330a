"""Wakes those who wait for news of a job: one Redis subscription and one query for all of them.

A listener is woken when an event of its job is published, when the subscription begins anew (what
was published in between was not heard), and when the job's row has changed. The rows of all
watched jobs are read together at intervals, so that a wiped Redis delays the news and loses none.
What an idle listener costs is a few hundred bytes, and neither a connection nor a query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis

from db.errors import StoreUnavailable
from db.jobs.states import JobState, read_owned_state, read_states
from db.redis.client import read_events
from db.redis.subscription import EventSubscription, open_subscription
from db.session import Sessions
from db.tables import FINAL_STATUSES

log = structlog.get_logger()

# The rows are read this often while Redis tells of every event, and while it does not.
POLL_INTERVAL_S = 5.0
POLL_INTERVAL_WITHOUT_REDIS_S = 1.5
RECONNECT_INTERVAL_S = 1.0
ROWS_A_QUERY = 500
# A thousand listeners that are woken at once leave connections of both pools to other requests.
READS_AT_A_TIME = 8
ROW_READS_AT_A_TIME = 4
REDIS_TIMEOUT_S = 2.0


class Wake(NamedTuple):
    """Why a listener was woken. Neither: nothing happened in the time it waited.

    ``events``: the stream may have more. ``ended``: the end of the job was published. ``state``:
    what the row said a moment ago, if it changed.
    """

    events: bool = False
    ended: bool = False
    state: JobState | None = None


class Listener:
    """One subscriber of a job; with ``only_end``, it is woken when the job may have ended."""

    __slots__ = ("_only_end", "_wake", "_woken")

    def __init__(self, only_end: bool) -> None:
        self._only_end = only_end
        self._woken = asyncio.Event()
        self._wake = Wake()

    async def wait(self, seconds: float) -> Wake:
        """Return what came since the last call, after ``seconds`` at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
        wake, self._wake = self._wake, Wake()
        return wake

    def hear(self, kind: str | None) -> None:
        """Be woken by an event of this kind; None: by events that nobody heard of."""
        if kind in (None, "done") or not self._only_end:
            ended = self._wake.ended or kind == "done"
            self._wake = self._wake._replace(events=True, ended=ended)
            self._woken.set()

    def see(self, state: JobState) -> None:
        """Be woken by a changed row."""
        if state.status in FINAL_STATUSES or not self._only_end:
            self._wake = self._wake._replace(state=state)
            self._woken.set()


class _Job:
    """A watched job: who listens, and what its row said last."""

    __slots__ = ("listeners", "state")

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.state: JobState | None = None


class JobWatch:
    """The watched jobs of one ingress process. ``run`` does the work, for as long as it lives."""

    def __init__(self, redis: Redis, sessions: Sessions) -> None:
        self._redis = redis
        self._sessions = sessions
        self._jobs: dict[str, _Job] = {}
        # Jobs that became watched, or are watched no more, since the subscription was told.
        self._changed: set[str] = set()
        self._change = asyncio.Event()
        self._redis_away = False
        self._reads = asyncio.Semaphore(READS_AT_A_TIME)
        self._row_reads = asyncio.Semaphore(ROW_READS_AT_A_TIME)

    @contextmanager
    def listen(self, job_id: str, *, only_end: bool = False) -> Iterator[Listener]:
        """Watch the job until the block ends.

        What happened before is to be read inside the block: the listener hears what comes after.
        """
        listener = Listener(only_end)
        if job_id not in self._jobs:
            self._jobs[job_id] = _Job()
            self._note_change(job_id)
        self._jobs[job_id].listeners.append(listener)
        try:
            yield listener
        finally:
            self._jobs[job_id].listeners.remove(listener)
            if not self._jobs[job_id].listeners:
                del self._jobs[job_id]
                self._note_change(job_id)

    async def read_events(self, job_id: str, after: str) -> list[tuple[str, dict[str, Any]]]:
        """Read the events after the id ``after``.

        Raises:
            StoreUnavailable: Redis is away, which is not tried again before it is back.
        """
        if self._redis_away:
            raise StoreUnavailable("redis")
        async with self._reads:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    return await read_events(self._redis, job_id, after)
            except TimeoutError:
                raise StoreUnavailable("redis") from None

    async def read_state(self, job_id: str, user_id: str) -> JobState | None:
        """Read the row of a user's job; None if there is none (any more).

        Raises:
            sqlalchemy.exc.SQLAlchemyError: Postgres is away.
        """
        async with self._row_reads, self._sessions() as session:
            return await read_owned_state(session, job_id, user_id)

    async def run(self) -> None:
        """Keep the subscription and look at the rows, until cancelled."""
        await asyncio.gather(self._keep_subscribed(), self._keep_polling())

    def _note_change(self, job_id: str) -> None:
        self._changed.add(job_id)
        self._change.set()

    # The subscription

    async def _keep_subscribed(self) -> None:
        await self._change.wait()  # nothing is opened before somebody listens
        while True:
            try:
                await self._subscribe()
            except* Exception as errors:
                # Whatever it is, listeners are served from the rows, and it is tried again.
                if not self._redis_away:
                    cause = type(errors.exceptions[0]).__name__
                    log.warning("event_subscription_lost", error=cause)
            self._redis_away = True
            await asyncio.sleep(RECONNECT_INTERVAL_S)

    async def _subscribe(self) -> None:
        """Hear of events until the connection is lost."""
        async with open_subscription(self._redis) as subscription:
            self._redis_away = False
            self._changed = set(self._jobs)
            self._change.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_changes(subscription))
                group.create_task(self._hear(subscription))

    async def _follow_changes(self, subscription: EventSubscription) -> None:
        """Subscribe to the jobs that are watched, and to no others."""
        subscribed: set[str] = set()
        while True:
            await self._change.wait()
            self._change.clear()
            changed, self._changed = self._changed, set()
            watched = changed & self._jobs.keys()
            await subscription.subscribe(watched - subscribed)
            await subscription.unsubscribe((changed - watched) & subscribed)
            subscribed = (subscribed | watched) - (changed - watched)

    async def _hear(self, subscription: EventSubscription) -> None:
        while True:
            job_id, kind = await subscription.next()
            if job_id in self._jobs:
                for listener in self._jobs[job_id].listeners:
                    listener.hear(kind)

    # The rows

    async def _keep_polling(self) -> None:
        while True:
            await asyncio.sleep(
                POLL_INTERVAL_WITHOUT_REDIS_S if self._redis_away else POLL_INTERVAL_S
            )
            try:
                await self._poll()
            except Exception as error:
                # Of Postgres, or unexpected: the rows are read again after the next interval.
                log.warning("jobs_not_read", error=type(error).__name__)

    async def _poll(self) -> None:
        """Read the rows of all watched jobs, and wake the listeners of those that changed."""
        job_ids = list(self._jobs)
        for start in range(0, len(job_ids), ROWS_A_QUERY):
            async with self._sessions() as session:
                states = await read_states(session, job_ids[start : start + ROWS_A_QUERY])
            for job_id, state in states.items():
                job = self._jobs.get(job_id)
                if job is not None and job.state != state:
                    job.state = state
                    for listener in job.listeners:
                        listener.see(state)
