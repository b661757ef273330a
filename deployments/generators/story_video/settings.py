"""How a film looks and sounds once everything left out is decided, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.contract import BadInput, Context
from deployments.generators.common.fields import FilmAspect, Resolution
from deployments.generators.story_video.spec import (
    DEFAULT_FPS,
    DEFAULT_RESOLUTION,
    Motion,
    StoryRequest,
)
from deployments.generators.story_video.storyboard import Storyboard

FILM_FILE, STORYBOARD_FILE, RECORD_FILE = "story.mp4", "storyboard.json", "film.json"


class FilmSettings(BaseModel):
    """Kept beside the film, so that it can be cut again to match it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    voice: str | None
    speed: float
    style: str
    negative_prompt: str
    aspect: FilmAspect
    resolution: Resolution
    fps: int
    motion: Motion
    burn_subtitles: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the film in pixels, even."""
        short = int(self.resolution.removesuffix("p"))
        long = round(short * Fraction(16, 9) / 2) * 2
        return {"16:9": (long, short), "9:16": (short, long), "1:1": (short, short)}[self.aspect]


class CastRecord(BaseModel):
    """A character that was drawn: from which words, into which file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    file: str


class FilmRecord(BaseModel):
    """``film.json``. ``clips`` are fingerprints of what each scene's clip was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: FilmSettings
    cast: tuple[CastRecord, ...]
    clips: tuple[str, ...]


@dataclass(frozen=True)
class EarlierFilm:
    """The film that is cut again."""

    record: FilmRecord
    board: Storyboard
    files: dict[str, Path]


def load_earlier_film(request: StoryRequest, context: Context) -> EarlierFilm | None:
    """The film that the request names.

    Raises:
        BadInput: the job is no story film, or its files are gone.
    """
    if request.earlier is None:
        return None
    earlier = context.earlier[request.earlier]
    try:
        record = FilmRecord.model_validate_json(earlier.files[RECORD_FILE].read_bytes())
        board = Storyboard.model_validate_json(earlier.files[STORYBOARD_FILE].read_bytes())
    except (KeyError, OSError, ValidationError) as error:
        raise BadInput(
            "earlier: this job is no story_video film whose files are still there.",
            code="not_a_story",
        ) from error
    return EarlierFilm(record, board, earlier.files)


def resolve_settings(request: StoryRequest, before: EarlierFilm | None) -> FilmSettings:
    """What the request says, else what the film ``before`` had, else the defaults."""
    usual: dict[str, object] = {
        "language": "en",
        "voice": None,
        "speed": 1.0,
        "style": "",
        "negative_prompt": "",
        "aspect": "16:9",
        "resolution": DEFAULT_RESOLUTION,
        "fps": DEFAULT_FPS,
        "motion": "camera",
        "burn_subtitles": False,
    }
    if before is not None:
        usual = before.record.settings.model_dump()
        if request.language is not None and request.voice is None:
            usual["voice"] = None  # the earlier one speaks another language
    said = {name: getattr(request, name) for name in usual if getattr(request, name) is not None}
    return FilmSettings.model_validate(usual | said)
