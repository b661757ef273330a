"""A job's events for one subscriber, from its Redis stream; from its row where Redis has lost it.

First comes the present state, then what happens, and ``done`` with the whole job ends it. The
stream's ids are the events' ids, so a subscriber that comes back with the last one it saw misses
nothing that Redis still has. The row is looked at every so often whatever Redis says: a wiped
Redis delays an event, it never makes a subscriber hang.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from pydantic_core import to_json
from sqlalchemy.exc import SQLAlchemyError

from db.errors import StoreUnavailable
from db.redis.client import STREAM_START, read_events
from db.tables import FINAL_STATUSES, Job
from serve_app.http.errors import NotFound
from serve_app.jobs.read import get_job
from serve_app.jobs.view import job_view
from serve_app.resources import Clients

log = structlog.get_logger()

KEEP_ALIVE_S = 15.0
POLL_INTERVAL_S = 1.5

_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}")


@dataclass(frozen=True)
class StreamEvent:
    """One event; without ``id`` it was read from the row and does not move the resume point."""

    name: str
    data: dict[str, Any]
    id: str | None = None


def as_sse(event: StreamEvent) -> bytes:
    """The event on the wire; its JSON has no line breaks."""
    head = f"id: {event.id}\n" if event.id else ""
    return f"{head}event: {event.name}\ndata: ".encode() + to_json(event.data) + b"\n\n"


class JobEvents:
    """The events of one job for one subscriber, who may have seen some before."""

    def __init__(self, clients: Clients, job: Job, last_event_id: str | None) -> None:
        self._clients = clients
        self._job = job
        self._resumed = bool(last_event_id and _EVENT_ID.fullmatch(last_event_id))
        self._position = last_event_id if last_event_id and self._resumed else STREAM_START
        # What the subscriber was shown last: status, attempt, fraction.
        self._shown: tuple[str, int, float] = ("", -1, 0.0)

    async def sse(self) -> AsyncGenerator[bytes, None]:
        """The body of the answer, with a comment now and then so that proxies keep it open."""
        events = self._events()
        self._clients.metrics.streams.inc()
        last_word = time.monotonic()
        try:
            async for event in events:
                if event is not None:
                    yield as_sse(event)
                elif time.monotonic() - last_word < KEEP_ALIVE_S:
                    continue
                else:
                    yield b": keep-alive\n\n"
                last_word = time.monotonic()
        finally:
            self._clients.metrics.streams.dec()
            await events.aclose()

    async def _events(self) -> AsyncGenerator[StreamEvent | None, None]:
        """The events; None wherever nothing happened for a moment."""
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
                shown = self._translate(stream_id, event)
                if shown is not None:
                    yield shown
            if ended or not news:
                await self._reload_job()
            if not news:
                yield self._event_from_row()
        yield await self._done_event()

    async def _missed_events(self) -> list[StreamEvent]:
        """What a returning subscriber has not seen; a new one starts at the stream's end."""
        try:
            past = await self._read(0)
        except StoreUnavailable:
            return []
        if past:
            self._position = past[-1][0]
        if not self._resumed:
            return []
        return [shown for entry in past if (shown := self._translate(*entry)) is not None]

    async def _read(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        return await read_events(
            self._clients.event_redis, self._job.id, self._position, int(seconds * 1000)
        )

    async def _reload_job(self) -> None:
        """Read the row again; while Postgres is away the last look stands."""
        try:
            self._job = await get_job(self._clients, self._job.user_id, self._job.id)
        except (SQLAlchemyError, NotFound) as error:
            log.warning("job_not_read", job_id=self._job.id, error=type(error).__name__)

    def _translate(self, stream_id: str, event: dict[str, Any]) -> StreamEvent | None:
        """A stream entry as the client sees it. ``done`` is told from the row, at the end."""
        status, attempt, _ = self._shown
        match event.get("type"):
            case "status":
                self._shown = (event["status"], event["attempt"], 0.0)
                data = {"status": event["status"], "attempt": event["attempt"]}
                return StreamEvent("status", data, stream_id)
            case "progress":
                self._shown = (status, attempt, event["fraction"])
                data = {"fraction": event["fraction"], "stage": event["stage"]}
                return StreamEvent("progress", data, stream_id)
            case "preview":
                lasts = timedelta(seconds=self._clients.settings.limits.link_seconds)
                url = self._clients.objects.presign_get(event["object_key"], lasts)
                return StreamEvent("preview", {"url": url}, stream_id)
            case _:
                return None

    def _event_from_row(self) -> StreamEvent | None:
        """What the row says that the stream did not; the row lags, so it never turns a bar back."""
        job, (status, attempt, fraction) = self._job, self._shown
        if job.status in FINAL_STATUSES:
            return None
        if (job.status, job.attempt) != (status, attempt):
            return self._state_event()
        if job.progress <= fraction:
            return None
        self._shown = (status, attempt, job.progress)
        return StreamEvent("progress", {"fraction": job.progress, "stage": job.stage})

    def _state_event(self) -> StreamEvent:
        job = self._job
        self._shown = (job.status, job.attempt, job.progress)
        data = {
            "status": job.status,
            "attempt": job.attempt,
            "fraction": job.progress,
            "stage": job.stage,
        }
        return StreamEvent("status", data, self._id_or_none())

    async def _done_event(self) -> StreamEvent:
        view = await job_view(self._clients, self._job)
        return StreamEvent("done", {"job": view.model_dump(mode="json")}, self._id_or_none())

    def _id_or_none(self) -> str | None:
        return None if self._position == STREAM_START else self._position
