"""OpenAI's images: a request becomes a job of the image generator, and its pictures the answer."""

from __future__ import annotations

import asyncio
import base64
import math
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field
from starlette.types import Receive

from db.errors import ObjectMissing, StoreUnavailable
from db.redis.client import STREAM_START, WATCHED_TTL_S, mark_watched
from db.tables import FINAL_STATUSES, Job
from serve_app.auth.identity import Identity, is_still_valid
from serve_app.compat.errors import UNAVAILABLE, unavailable
from serve_app.http.errors import BadInput, InvalidToken, Problem
from serve_app.http.event_source import KEEP_ALIVE, encode_event
from serve_app.http.schemas import Body
from serve_app.jobs.failure import failure
from serve_app.jobs.read import get_job, until_final
from serve_app.jobs.view import job_view
from serve_app.openai.errors import NotReady, error_object
from serve_app.openai.models import DEFAULT_IMAGE_MODEL
from serve_app.resources import Clients

Kind = Literal["image_generation", "image_edit"]
# Their clients give up after ten minutes, and ask again.
PATIENCE_S = 590.0
KEEP_ALIVE_S = 15.0
MARK_INTERVAL_S = WATCHED_TTL_S / 2
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
    n: int | None = Field(default=None, ge=1, le=8)
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
    identity: Identity
    job_id: str
    kind: Kind
    body: ImageBody

    async def answer(self, receive: Receive) -> dict[str, Any]:
        """Wait for the pictures, or until the client leaves. ``receive`` is that of the request.

        Raises:
            JobFailed, JobRefused: the job made none.
            NotReady: it takes longer than clients wait; a repeated request waits on.
        """
        user_id = self.identity.user_id
        job = await until_final(self.clients, user_id, self.job_id, PATIENCE_S, receive)
        if job.status not in FINAL_STATUSES:
            raise NotReady
        _check(job)
        usual = "url" if self.body.named_model.startswith("dall-e") else "b64_json"
        if (self.body.response_format or usual) == "url":
            outputs = (await job_view(self.clients, job)).outputs
            data = [{"url": output.url} for output in outputs]
        else:
            data = [{"b64_json": await self._encoded(output)} for output in job.outputs]
        created = int(job.created_at.timestamp())
        return {"created": created, "data": data, **self._described(job)}

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield unfinished pictures, at most as many as were asked for, and then the pictures."""
        try:
            async with aclosing(self._partial_images()) as partial:
                async for event in partial:
                    yield event
            job = await self._read()
            _check(job)
            for output in job.outputs:
                picture = await self._encoded(output)
                yield self._event("completed", job, b64_json=picture, usage=NO_TOKENS)
        except Problem as problem:
            yield _error_event(problem)
        except UNAVAILABLE as error:
            yield _error_event(unavailable(error))

    async def _partial_images(self) -> AsyncGenerator[bytes, None]:
        """Follow the job to its end; raises InvalidToken once the key or login is revoked."""
        wanted, shown, position = self.body.partial_images or 0, 0, STREAM_START
        checked_at = marked_at = -math.inf
        with self.clients.job_watch.listen(self.job_id) as listener:
            while (job := await self._read()).status not in FINAL_STATUSES:
                now = time.monotonic()
                if now - checked_at > KEEP_ALIVE_S:
                    checked_at = now
                    if not await is_still_valid(self.clients, self.identity):
                        raise InvalidToken
                if wanted > shown and job.status == "running" and now - marked_at > MARK_INTERVAL_S:
                    marked_at = now
                    with suppress(StoreUnavailable):
                        await mark_watched(self.clients.redis, self.job_id)
                with suppress(StoreUnavailable, ObjectMissing):  # previews are a courtesy
                    for entry, event in await self.clients.job_watch.read_events(
                        self.job_id, position
                    ):
                        position = entry
                        if event.get("type") != "preview" or shown == wanted:
                            continue
                        encoded = await self._encoded(event)
                        number = {"b64_json": encoded, "partial_image_index": shown}
                        yield self._event("partial_image", job, **number)
                        shown += 1
                if not any(await listener.wait(KEEP_ALIVE_S)):
                    yield KEEP_ALIVE

    async def _read(self) -> Job:
        return await get_job(self.clients, self.identity.user_id, self.job_id)

    async def _encoded(self, output: dict[str, Any]) -> str:
        picture = await self.clients.objects.get_bytes(output["object_key"])
        return (await asyncio.to_thread(base64.b64encode, picture)).decode()

    def _event(self, name: str, job: Job, **values: Any) -> bytes:
        kind = f"{self.kind}.{name}"
        created = {"type": kind, "created_at": int(job.created_at.timestamp())}
        return encode_event(kind, {**created, **values, **self._described(job)})

    def _described(self, job: Job) -> dict[str, Any]:
        first = job.outputs[0] if job.outputs else {}
        size = f"{first['width']}x{first['height']}" if first else self.body.size or "auto"
        return {
            "background": "transparent" if self.body.background == "transparent" else "opaque",
            "output_format": self.body.output_format or "png",  # partial images are PNG
            "quality": "auto",
            "size": size,
        }


def _check(job: Job) -> None:
    if job.status != "succeeded":
        raise failure(job.error, job.status)


def _error_event(problem: Problem) -> bytes:
    return encode_event("error", {"type": "error", "error": error_object(problem)[1]})
