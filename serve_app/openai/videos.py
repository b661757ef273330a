"""OpenAI's videos: a request becomes the job of a generator that makes films.

Each generator has its own idea of a film, so each takes of prompt, seconds, size and reference what
it can, and refuses what it cannot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from db.tables import Job
from serve_app.http.errors import BadInput, FieldError, JobNotFinal, NotFound
from serve_app.http.schemas import Body, View
from serve_app.jobs.read import get_job
from serve_app.openai.images import parse_size
from serve_app.openai.models import FILM_GENERATORS
from serve_app.resources import Clients

# The fields of our inputs that hold what a film is about.
PROMPTS = ("story", "topic", "prompt")
DEFAULT_SECONDS, DEFAULT_SIZE = "4", "720x1280"
SECONDS, MAX_SECONDS = re.compile(r"[1-9][0-9]{0,2}"), 600
SCENE_SECONDS = 4
RESOLUTIONS = (360, 480, 720, 1080)
STATUSES: Mapping[str, Literal["queued", "in_progress", "completed", "failed"]] = {
    "queued": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "canceled": "failed",
}


class VideoBody(Body):
    """What OpenAI's clients send for a film."""

    prompt: str
    model: str | None = None
    seconds: str | None = None
    size: str | None = None


class RemixBody(Body):
    """What OpenAI's clients send to have a film made anew with another prompt."""

    prompt: str


class VideoErrorView(View):
    """Why a film failed."""

    code: str
    message: str


class VideoView(View):
    """A film, as OpenAI describes one."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int
    created_at: int
    completed_at: int | None
    expires_at: int | None = None
    prompt: str | None
    seconds: str
    size: str
    error: VideoErrorView | None
    remixed_from_video_id: str | None


@dataclass(frozen=True)
class Film:
    """What a request wants: sides in pixels, and a picture to begin with, as inputs name one."""

    prompt: str
    seconds: int
    width: int
    height: int
    reference: dict[str, str] | None

    @property
    def aspect(self) -> str:
        """The film's shape among 16:9, 9:16 and 1:1."""
        if self.width == self.height:
            return "1:1"
        return "16:9" if self.width > self.height else "9:16"

    @property
    def resolution(self) -> str:
        """The resolution nearest to the shorter side."""
        shorter = min(self.width, self.height)
        return f"{min(RESOLUTIONS, key=lambda known: abs(known - shorter))}p"


def film_input(generator: str, film: Film) -> dict[str, Any]:
    """Return the input of ``generator`` for ``film``.

    Raises:
        BadInput: the generator begins with no picture, and one is given.
    """
    if film.reference is not None and generator != "video3d":
        words = f"{generator} begins with no picture; the model video3d does"
        error: FieldError = {"loc": ["input_reference"], "msg": words, "code": "not_supported"}
        raise BadInput(words, errors=[error])
    return INPUTS[generator](film)


def _story_video(film: Film) -> dict[str, Any]:
    scenes = max(1, math.ceil(film.seconds / SCENE_SECONDS))
    shape = {"aspect": film.aspect, "resolution": film.resolution}
    return {"story": film.prompt, "max_scenes": scenes, **shape}


def _video3d(film: Film) -> dict[str, Any]:
    sides = {"width": film.width // 8 * 8, "height": film.height // 8 * 8}
    given = {"image": film.reference} if film.reference is not None else {"prompt": film.prompt}
    return {"mode": "parallax", "seconds": film.seconds, **sides, **given}


def _study_animation(film: Film) -> dict[str, Any]:
    return {"topic": film.prompt, "aspect": film.aspect, "resolution": film.resolution}


INPUTS: Mapping[str, Callable[[Film], dict[str, Any]]] = {
    "story_video": _story_video,
    "video3d": _video3d,
    "study_animation": _study_animation,
}


def parse_film(body: VideoBody, reference: dict[str, str] | None) -> Film:
    """Read a request.

    Raises:
        BadInput: seconds or size are none.
    """
    seconds = body.seconds or DEFAULT_SECONDS
    if not SECONDS.fullmatch(seconds) or int(seconds) > MAX_SECONDS:
        words = f"seconds are a whole number from 1 to {MAX_SECONDS}, as text"
        raise BadInput(words, errors=[{"loc": ["seconds"], "msg": words, "code": "out_of_range"}])
    width, height = parse_size(body.size or DEFAULT_SIZE)
    return Film(body.prompt, int(seconds), width, height, reference)


def film_metadata(model: str, seconds: str, size: str) -> dict[str, str]:
    """Return what the job remembers of the request."""
    return {"openai_model": model, "openai_seconds": seconds, "openai_size": size}


def remixed_input(source: Job, prompt: str) -> dict[str, Any]:
    """Return the input of a film with another prompt, and all else as it was.

    Raises:
        JobNotFinal: the film is not done.
        BadInput: the film was not made from words alone.
    """
    if source.status != "succeeded":
        raise JobNotFinal("Only a film that is done can be remixed.")
    for field in PROMPTS:
        if isinstance(source.input.get(field), str):
            return {**source.input, field: prompt}
    words = "the film was not made from words alone"
    error: FieldError = {"loc": ["video_id"], "msg": words, "code": "not_supported"}
    raise BadInput(words, errors=[error])


async def get_film(clients: Clients, user_id: str, video_id: str) -> Job:
    """Return the job of a film; raises NotFound, also for a job that makes none."""
    job = await get_job(clients, user_id, video_id)
    if job.generator not in FILM_GENERATORS:
        raise NotFound
    return job


def video_view(job: Job) -> VideoView:
    """Describe a film; one that was not asked for in OpenAI's form, too."""
    film = next((output for output in job.outputs if output["kind"] == "video"), None)
    seconds, size = "0", DEFAULT_SIZE
    if film is not None:
        seconds = str(round(film["duration_s"] or 0))
        size = f"{film['width']}x{film['height']}"
    kept = job.user_metadata
    came_from = kept.get("openai_remixed_from")
    error = None
    if job.status == "canceled":
        error = VideoErrorView(code="canceled", message="The job was canceled.")
    elif job.error is not None:
        error = VideoErrorView(code=job.error["code"], message=job.error["detail"])
    return VideoView(
        id=job.id,
        model=str(kept.get("openai_model", job.generator)),
        status=STATUSES[job.status],
        progress=100 if job.status == "succeeded" else int(100 * job.progress),
        created_at=int(job.created_at.timestamp()),
        completed_at=int(job.finished_at.timestamp()) if job.finished_at else None,
        prompt=prompt_of(job),
        seconds=str(kept.get("openai_seconds", seconds)),
        size=str(kept.get("openai_size", size)),
        error=error,
        remixed_from_video_id=came_from if isinstance(came_from, str) else None,
    )


def prompt_of(job: Job) -> str | None:
    """Return the words that a film was made from, if there are any."""
    words = (job.input.get(field) for field in PROMPTS)
    return next((found for found in words if isinstance(found, str)), None)


def film_output(job: Job, variant: str) -> dict[str, Any]:
    """Return the output that ``variant`` names.

    Raises:
        NotFound: the film is not done, or has no such part.
    """
    kind = {"video": "video", "thumbnail": "poster"}.get(variant)
    for output in job.outputs:
        if output["kind"] == kind:
            return output
    raise NotFound(f"There is no {variant[:20]} of this film (yet).")
