"""The events of a job: server-sent events, resumed where the connection broke."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from atelier_client.calls import Answer, Body, Call, Emit, Flow, Open, Read, Sleep
from atelier_client.jobs import Job, Status

RECONNECT_S = 0.5


class JobEvent(Answer):
    """Something that happened to a job."""


class StatusEvent(JobEvent):
    """The job has this status; the first one of a stream also says how far it is."""

    status: Status
    attempt: int
    fraction: float | None = None
    stage: str | None = None


class ProgressEvent(JobEvent):
    """The running job has come so far: ``fraction`` of 0 to 1."""

    fraction: float
    stage: str


class PreviewEvent(JobEvent):
    """There is an unfinished picture; ``url`` is a signed link."""

    url: str


class DoneEvent(JobEvent):
    """The job has ended, well or not; the last event."""

    job: Job


_EVENTS: dict[str, type[JobEvent]] = {
    "status": StatusEvent,
    "progress": ProgressEvent,
    "preview": PreviewEvent,
    "done": DoneEvent,
}


@dataclass(frozen=True)
class ServerSentEvent:
    """An event as it came; ``id`` is the last one that was given, by it or before it."""

    name: str
    data: str
    id: str | None


class EventParser:
    """Parses a stream of server-sent events as it comes, in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}
        self._id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that ``chunk`` completes. One that is cut off at the end is none."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if text:
                self._read_field(text)
            elif fields := self._take():
                yield ServerSentEvent(fields.get("event", "message"), fields["data"], self._id)

    def _read_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = value
        elif name == "data" and "data" in self._fields:
            self._fields["data"] += f"\n{value}"
        elif name in ("data", "event"):
            self._fields[name] = value

    def _take(self) -> dict[str, str] | None:
        fields, self._fields = self._fields, {}
        return fields if "data" in fields else None


def follow_job(job_id: str, *, last_event_id: str | None = None) -> Flow[None]:
    """What happens to a job, to its end: a ``DoneEvent`` with the final job is the last event.

    If the connection breaks, it is made again and goes on behind the last event.

    Raises:
        NotFound: there is no such job, or it was erased meanwhile.
        ConnectionFailed: the service went away and did not come back.
    """
    while True:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        call = Call("GET", f"/v1/jobs/{job_id}/events", headers=headers, stream=True)
        body: Body = yield Open(call)
        parser = EventParser()
        try:
            while chunk := (yield Read(body)):
                for sent in parser.feed(chunk):
                    last_event_id = sent.id or last_event_id
                    event = _job_event(sent)
                    if event is not None:
                        yield Emit(event)
                    if isinstance(event, DoneEvent):
                        return
        except httpx.TransportError:
            pass  # it is made again, as after an end without a last event
        yield Sleep(RECONNECT_S)


def _job_event(sent: ServerSentEvent) -> JobEvent | None:
    """Return the event of a job; a kind that a later version of the service adds is None."""
    kind = _EVENTS.get(sent.name)
    return None if kind is None else kind.model_validate(json.loads(sent.data))
