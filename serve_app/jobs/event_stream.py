"""The events of a job for one subscriber: from its Redis stream, or from its row if Redis lost it.

The present state comes first, then the events, and ``done`` with the whole job ends the stream.
Events have the ids of the Redis stream, so a subscriber that resumes from its last id misses
nothing that Redis still has. The row is read at intervals as well: a wiped Redis delays an event,
but a subscriber never hangs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import structlog
from fastapi.sse import ServerSentEvent
from sqlalchemy.exc import SQLAlchemyError

from db.errors import StoreUnavailable
from db.redis.client import STREAM_START, read_events
from db.tables import FINAL_STATUSES, Job
from serve_app.http.errors import NotFound
from serve_app.jobs.read import get_job
from serve_app.jobs.view import job_view
from serve_app.resources import Clients

log = structlog.get_logger()

POLL_INTERVAL_S = 1.5

_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}")


class JobEvents:
    """The events of one job for one subscriber, which may resume an earlier stream."""

    def __init__(self, clients: Clients, job: Job, last_event_id: str | None) -> None:
        self._clients = clients
        self._job = job
        self._resumed = bool(last_event_id and _EVENT_ID.fullmatch(last_event_id))
        self._position = last_event_id if last_event_id and self._resumed else STREAM_START
        # The last state that was sent: status, attempt, fraction.
        self._sent: tuple[str, int, float] = ("", -1, 0.0)

    async def stream(self) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events. One without ``id`` is from the row and does not move the resume point.

        FastAPI writes a comment after a long silence, so that proxies keep the connection.
        """
        events = self._events()
        self._clients.metrics.streams.inc()
        try:
            async for event in events:
                yield event
        finally:
            self._clients.metrics.streams.dec()
            await events.aclose()

    async def _events(self) -> AsyncGenerator[ServerSentEvent, None]:
        for missed in await self._missed_events():
            yield missed
        await self._reload_job()
        yield self._state_event()
        while self._job.status not in FINAL_STATUSES:
            try:
                news = await self._read(POLL_INTERVAL_S)
            except StoreUnavailable:
                news = []
                await asyncio.sleep(POLL_INTERVAL_S)
            ended = False
            for stream_id, event in news:
                self._position = stream_id
                ended = ended or event.get("type") == "done"
                message = self._translate(stream_id, event)
                if message is not None:
                    yield message
            if ended or not news:
                await self._reload_job()
            if not news and (change := self._event_from_row()) is not None:
                yield change
        yield await self._done_event()

    async def _missed_events(self) -> list[ServerSentEvent]:
        """Return what a resuming subscriber missed; a new one starts at the end of the stream."""
        try:
            entries = await self._read(0)
        except StoreUnavailable:
            return []
        if entries:
            self._position = entries[-1][0]
        if not self._resumed:
            return []
        translated = (self._translate(*entry) for entry in entries)
        return [message for message in translated if message is not None]

    async def _read(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        return await read_events(
            self._clients.event_redis, self._job.id, self._position, int(seconds * 1000)
        )

    async def _reload_job(self) -> None:
        """Read the row again; while Postgres is away the last version is used."""
        try:
            self._job = await get_job(self._clients, self._job.user_id, self._job.id)
        except (SQLAlchemyError, NotFound) as error:
            log.warning("job_not_read", job_id=self._job.id, error=type(error).__name__)

    def _translate(self, stream_id: str, event: dict[str, Any]) -> ServerSentEvent | None:
        """Convert a stream entry for the client. ``done`` is made from the row, at the end."""
        status, attempt, _ = self._sent
        match event.get("type"):
            case "status":
                self._sent = (event["status"], event["attempt"], 0.0)
                data = {"status": event["status"], "attempt": event["attempt"]}
                return _event("status", data, stream_id)
            case "progress":
                self._sent = (status, attempt, event["fraction"])
                data = {"fraction": event["fraction"], "stage": event["stage"]}
                return _event("progress", data, stream_id)
            case "preview":
                lasts = timedelta(seconds=self._clients.settings.limits.link_seconds)
                url = self._clients.objects.presign_get(event["object_key"], lasts)
                return _event("preview", {"url": url}, stream_id)
            case _:
                return None

    def _event_from_row(self) -> ServerSentEvent | None:
        """Return a change that only the row has. It lags, so progress never goes back."""
        job, (status, attempt, fraction) = self._job, self._sent
        if job.status in FINAL_STATUSES:
            return None
        if (job.status, job.attempt) != (status, attempt):
            return self._state_event()
        if job.progress <= fraction:
            return None
        self._sent = (status, attempt, job.progress)
        return _event("progress", {"fraction": job.progress, "stage": job.stage})

    def _state_event(self) -> ServerSentEvent:
        job = self._job
        self._sent = (job.status, job.attempt, job.progress)
        data = {
            "status": job.status,
            "attempt": job.attempt,
            "fraction": job.progress,
            "stage": job.stage,
        }
        return _event("status", data, self._id_or_none())

    async def _done_event(self) -> ServerSentEvent:
        view = await job_view(self._clients, self._job)
        return _event("done", {"job": view.model_dump(mode="json")}, self._id_or_none())

    def _id_or_none(self) -> str | None:
        return None if self._position == STREAM_START else self._position


def _event(name: str, data: dict[str, Any], event_id: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(event=name, data=data, id=event_id)
