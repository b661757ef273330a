"""The events of a job for one subscriber: from its Redis stream, or from its row if Redis lost it.

The present state comes first, then the events, and ``done`` with the whole job ends the stream.
Events have the ids of the Redis stream, so a subscriber that resumes from its last id misses
nothing that Redis still has. A subscriber sleeps until ``job_watch`` wakes it, also when only the
row has changed: a wiped Redis delays an event, but a subscriber never hangs. While it sleeps it
keeps the job's state and no more of the row, since an input may be large.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.errors import StoreUnavailable
from db.jobs.states import JobState
from db.redis.client import STREAM_START, WATCHED_TTL_S, mark_watched
from db.tables import FINAL_STATUSES, Job
from serve_app.http.errors import InvalidToken, NotFound
from serve_app.jobs.job_watch import Listener
from serve_app.jobs.read import get_job
from serve_app.jobs.view import job_view
from serve_app.resources import Clients

log = structlog.get_logger()

# A comment after this silence keeps proxies from closing the connection.
KEEP_ALIVE_S = 15.0
# A stream whose key or login was revoked ends with the first event after this time, or at its end.
ACCESS_CHECK_INTERVAL_S = 15.0
# The row is read again this soon if it has something that was not sent yet.
RETRY_INTERVAL_S = 1.5
# So often a stream says that its job is watched, which is why pictures of the job are previewed.
MARK_INTERVAL_S = WATCHED_TTL_S / 2

_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}")


class JobEvent(NamedTuple):
    """An event of a job; one without ``id`` is from the row."""

    name: str
    data: dict[str, Any]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class FollowedJob:
    """A job whose events are asked for, and its state at that time."""

    id: str
    user_id: str
    state: JobState


async def find_job(clients: Clients, user_id: str, job_id: str) -> FollowedJob:
    """Return the job; raises NotFound, also for another user's job."""
    state = await clients.job_watch.read_state(job_id, user_id)
    if state is None:
        raise NotFound
    return FollowedJob(job_id, user_id, state)


class JobEvents:
    """The events of one job for one subscriber, which may resume an earlier stream."""

    def __init__(
        self,
        clients: Clients,
        job: FollowedJob,
        last_event_id: str | None,
        may_read: Callable[[], Awaitable[bool]],
    ) -> None:
        self._clients = clients
        self._may_read = may_read
        self._access_checked_at = time.monotonic()
        self._job_id, self._user_id, self._state = job.id, job.user_id, job.state
        self._resumed = bool(last_event_id and _EVENT_ID.fullmatch(last_event_id))
        # None: at the end of the stream, wherever that is.
        self._position = last_event_id if self._resumed else None
        # The last state that was sent: status, attempt, fraction.
        self._sent: tuple[str, int, float] = ("", -1, 0.0)
        # ``done`` was published, but was not sent yet.
        self._ended = False
        self._marked_at = -math.inf
        # What the row was seen to say, until it was read again.
        self._seen: JobState | None = None

    async def stream(self) -> AsyncGenerator[JobEvent | None, None]:
        """Yield the events. One without ``id`` is from the row and does not move the resume point.

        ``None`` comes after a long silence. The stream ends without ``done`` if the job is erased
        meanwhile, or the key or login it was opened with no longer works.
        """
        with self._clients.job_watch.listen(self._job_id) as listener:
            try:
                for missed in await self._news():
                    yield missed
                await self._reload_state()
                yield self._state_event()
                while self._state.status not in FINAL_STATUSES:
                    await self._mark_watched()
                    messages = await self._next(listener)
                    if messages != [None]:
                        await self._check_access(ACCESS_CHECK_INTERVAL_S)
                    for message in messages:
                        yield message
                await self._check_access(0)
                yield await self._done_event(listener)
            except NotFound:
                log.info("streamed_job_gone", job_id=self._job_id)
            except InvalidToken:
                log.info("stream_access_ended", job_id=self._job_id)

    async def _mark_watched(self) -> None:
        """Ask for previews of a job that runs."""
        now = time.monotonic()
        if self._sent[0] != "running" or now - self._marked_at < MARK_INTERVAL_S:
            return
        self._marked_at = now
        with suppress(StoreUnavailable):
            await mark_watched(self._clients.redis, self._job_id)

    async def _check_access(self, interval_s: float) -> None:
        """Raises InvalidToken if the key or login was revoked; asked once in an interval."""
        if time.monotonic() - self._access_checked_at < interval_s:
            return
        self._access_checked_at = time.monotonic()
        try:
            may_read = await self._may_read()
        except SQLAlchemyError as error:  # Postgres is away: asked again the next time
            log.warning("access_not_checked", job_id=self._job_id, error=type(error).__name__)
            return
        if not may_read:
            raise InvalidToken

    async def _next(self, listener: Listener) -> Sequence[JobEvent | None]:
        """Wait until there may be news, and return what there is."""
        wake = await listener.wait(RETRY_INTERVAL_S if self._is_behind() else KEEP_ALIVE_S)
        nothing: Sequence[JobEvent | None] = [] if any(wake) else [None]
        self._seen = wake.state or self._seen
        self._ended = self._ended or wake.ended
        if not wake.events and not self._is_behind():
            return nothing
        is_lost = self._position is None  # Redis was away when the stream began
        news = await self._news()
        if news and not self._ended:
            return news
        if is_lost or self._is_behind():
            is_current = await self._reload_state()
            if is_current and not news and (change := self._event_from_row()) is not None:
                return [change]
        return news or nothing

    async def _news(self) -> list[JobEvent]:
        """Return what the stream has behind the position. A new subscriber begins at its end."""
        try:
            entries = await self._clients.job_watch.read_events(
                self._job_id, self._position or STREAM_START
            )
        except StoreUnavailable:
            return []
        begun = self._position is not None
        self._position = entries[-1][0] if entries else self._position or STREAM_START
        self._ended = self._ended or any(event.get("type") == "done" for _, event in entries)
        if not begun:
            return []
        translated = (self._translate(*entry) for entry in entries)
        return [message for message in translated if message is not None]

    async def _reload_state(self) -> bool:
        """Read the row again. False: Postgres is away, and the last version stays.

        Raises:
            NotFound: the job was erased.
        """
        try:
            state = await self._clients.job_watch.read_state(self._job_id, self._user_id)
        except SQLAlchemyError as error:
            log.warning("job_not_read", job_id=self._job_id, error=type(error).__name__)
            return False
        if state is None:
            raise NotFound
        self._state, self._seen = state, None
        return True

    def _is_behind(self) -> bool:
        """Return whether the row has, or must have, what was not sent."""
        return self._ended or (self._seen is not None and self._differs(self._seen))

    def _differs(self, state: JobState) -> bool:
        """Return whether a state is news. The row lags, so progress never goes back."""
        status, attempt, fraction = self._sent
        return (state.status, state.attempt) != (status, attempt) or state.progress > fraction

    def _translate(self, stream_id: str, event: dict[str, Any]) -> JobEvent | None:
        """Convert a stream entry for the client. ``done`` is made from the row, at the end."""
        status, attempt, _ = self._sent
        match event.get("type"):
            case "status":
                self._sent = (event["status"], event["attempt"], 0.0)
                data = {"status": event["status"], "attempt": event["attempt"]}
                return JobEvent("status", data, stream_id)
            case "progress":
                self._sent = (status, attempt, event["fraction"])
                data = {"fraction": event["fraction"], "stage": event["stage"]}
                return JobEvent("progress", data, stream_id)
            case "preview":
                lasts = timedelta(seconds=self._clients.settings.limits.link_seconds)
                url = self._clients.objects.presign_get(event["object_key"], lasts)
                return JobEvent("preview", {"url": url}, stream_id)
            case _:
                return None

    def _event_from_row(self) -> JobEvent | None:
        """Return a change that only the row has."""
        state, (status, attempt, _) = self._state, self._sent
        if state.status in FINAL_STATUSES or not self._differs(state):
            return None
        if (state.status, state.attempt) != (status, attempt):
            return self._state_event()
        self._sent = (status, attempt, state.progress)
        return JobEvent("progress", {"fraction": state.progress, "stage": state.stage})

    def _state_event(self) -> JobEvent:
        state = self._state
        self._sent = (state.status, state.attempt, state.progress)
        data = {
            "status": state.status,
            "attempt": state.attempt,
            "fraction": state.progress,
            "stage": state.stage,
        }
        return JobEvent("status", data, self._id_or_none())

    async def _done_event(self, listener: Listener) -> JobEvent:
        view = await job_view(self._clients, await self._final_job(listener))
        return JobEvent("done", {"job": view.model_dump(mode="json")}, self._id_or_none())

    async def _final_job(self, listener: Listener) -> Job:
        while True:
            try:
                return await get_job(self._clients, self._user_id, self._job_id)
            except SQLAlchemyError as error:
                log.warning("job_not_read", job_id=self._job_id, error=type(error).__name__)
                await listener.wait(RETRY_INTERVAL_S)

    def _id_or_none(self) -> str | None:
        return None if self._position == STREAM_START else self._position
