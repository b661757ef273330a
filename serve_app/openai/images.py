"""OpenAI's images: a request becomes a job of the image generator, and its pictures the answer."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from db.errors import StoreUnavailable
from db.redis.client import STREAM_START, mark_watched
from db.tables import FINAL_STATUSES, Job
from serve_app.http.errors import BadInput, Problem, RequestTimeout
from serve_app.http.event_source import KEEP_ALIVE, encode_event
from serve_app.http.schemas import Body
from serve_app.jobs.read import get_job
from serve_app.jobs.view import job_view
from serve_app.openai.errors import error_object, failure
from serve_app.openai.models import DEFAULT_IMAGE_MODEL
from serve_app.resources import Clients

Kind = Literal["image_generation", "image_edit"]
# Their clients give up after ten minutes, and ask again.
PATIENCE_S = 590.0
KEEP_ALIVE_S = 15.0
SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


class ImageBody(Body):
    """What OpenAI's clients send for pictures, and below it what only this service takes.

    ``quality``, ``style``, ``moderation``, ``input_fidelity`` and the names of end users change
    nothing.
    """

    prompt: str
    model: str | None = None
    n: int | None = Field(default=None, ge=1, le=10)
    size: str | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(default=None, ge=0, le=100)
    response_format: Literal["url", "b64_json"] | None = None
    stream: bool | None = None
    partial_images: int | None = Field(default=None, ge=0, le=3)
    quality: str | None = None
    style: str | None = None
    moderation: str | None = None
    input_fidelity: str | None = None
    user: str | None = None
    safety_identifier: str | None = None

    seed: int | None = None
    negative_prompt: str | None = None
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None

    @property
    def named_model(self) -> str:
        return self.model or DEFAULT_IMAGE_MODEL


def parse_size(size: str, param: str = "size") -> tuple[int, int]:
    """Return width and height of a size such as ``1024x1536``.

    Raises:
        BadInput: it is no size.
    """
    found = SIZE.fullmatch(size)
    if found is None:
        words = "a size is WIDTHxHEIGHT in pixels, such as 1024x1024"
        raise BadInput(words, errors=[{"loc": [param], "msg": words, "code": "out_of_range"}])
    return int(found[1]), int(found[2])


def image_input(body: ImageBody) -> dict[str, Any]:
    """Return the input of the image generator that ``body`` asks for."""
    given: dict[str, Any] = {
        "prompt": body.prompt,
        "n": body.n,
        "format": body.output_format,
        "quality": max(1, body.output_compression) if body.output_compression is not None else None,
        "background": "transparent" if body.background == "transparent" else None,
        "seed": body.seed,
        "negative_prompt": body.negative_prompt,
        "steps": body.steps,
        "guidance": body.guidance,
        "strength": body.strength,
    }
    if body.size not in (None, "auto"):
        given["width"], given["height"] = parse_size(body.size or "")
    return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Pictures:
    """The answer to a request whose job is ``job_id``."""

    clients: Clients
    user_id: str
    job_id: str
    kind: Kind
    body: ImageBody

    async def answer(self) -> dict[str, Any]:
        """Wait for the pictures.

        Raises:
            JobFailed, JobRefused: the job made none.
            RequestTimeout: it takes longer than clients wait; a repeated request waits on.
        """
        until = time.monotonic() + PATIENCE_S
        with self.clients.job_watch.listen(self.job_id, only_end=True) as listener:
            while (job := await self._read()).status not in FINAL_STATUSES:
                if (remaining := until - time.monotonic()) <= 0:
                    raise RequestTimeout
                await listener.wait(min(remaining, KEEP_ALIVE_S))
        _check(job)
        links = self.body.response_format == "url"
        data = [{"url": url} for url in await self._links(job)] if links else None
        return {
            "created": int(job.created_at.timestamp()),
            "data": data or [{"b64_json": picture} for picture in await self._pictures(job)],
            **self._described(job),
        }

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield unfinished pictures, at most as many as were asked for, and then the pictures."""
        try:
            async for event in self._partial_images():
                yield event
            job = await self._read()
            _check(job)
            for picture in await self._pictures(job):
                yield self._event("completed", job, b64_json=picture, usage=NO_TOKENS)
        except Problem as problem:
            yield encode_event("error", {"type": "error", "error": error_object(problem)[1]})

    async def _partial_images(self) -> AsyncGenerator[bytes, None]:
        wanted, shown, position = self.body.partial_images or 0, 0, STREAM_START
        with self.clients.job_watch.listen(self.job_id) as listener:
            while (job := await self._read()).status not in FINAL_STATUSES:
                try:
                    if wanted > shown:
                        await mark_watched(self.clients.redis, self.job_id)
                    news = await self.clients.job_watch.read_events(self.job_id, position)
                except StoreUnavailable:
                    news = []
                for position, event in news:  # noqa: B007 - the last one is where to go on
                    if event.get("type") == "preview" and shown < wanted:
                        picture = await self.clients.objects.get_bytes(event["object_key"])
                        encoded = base64.b64encode(picture).decode()
                        number = {"b64_json": encoded, "partial_image_index": shown}
                        yield self._event("partial_image", job, **number)
                        shown += 1
                if not any(await listener.wait(KEEP_ALIVE_S)):
                    yield KEEP_ALIVE

    async def _read(self) -> Job:
        return await get_job(self.clients, self.user_id, self.job_id)

    async def _links(self, job: Job) -> list[str]:
        return [output.url for output in (await job_view(self.clients, job)).outputs]

    async def _pictures(self, job: Job) -> list[str]:
        keys = [output["object_key"] for output in job.outputs]
        pictures = await asyncio.gather(*map(self.clients.objects.get_bytes, keys))
        return [base64.b64encode(picture).decode() for picture in pictures]

    def _event(self, name: str, job: Job, **values: Any) -> bytes:
        kind = f"{self.kind}.{name}"
        created = {"type": kind, "created_at": int(job.created_at.timestamp())}
        return encode_event(kind, {**created, **values, **self._described(job)})

    def _described(self, job: Job) -> dict[str, Any]:
        first = job.outputs[0] if job.outputs else {}
        size = f"{first['width']}x{first['height']}" if first else self.body.size or "auto"
        return {
            "background": "transparent" if self.body.background == "transparent" else "opaque",
            "output_format": self.body.output_format or "png",
            "quality": "auto",
            "size": size,
        }


def _check(job: Job) -> None:
    if job.status != "succeeded":
        raise failure(job.error, job.status)
