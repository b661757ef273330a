"""How a film looks and sounds once everything left out is decided, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deployments.contract import BadInput, Context
from deployments.generators.common.fields import Part, spoken_language
from deployments.generators.scene_film.settings import (
    SETTINGS_FILE,
    FilmSettings,
    merge_settings,
)
from deployments.generators.story_video.spec import (
    DEFAULT_FPS,
    DEFAULT_RESOLUTION,
    Motion,
    StoryRequest,
    spoken_text,
)
from deployments.generators.story_video.storyboard import Storyboard

FILM_FILE, STORYBOARD_FILE = "story.mp4", "storyboard.json"


class StorySettings(FilmSettings):
    """Of a story, whose pictures have a style and may move."""

    style: str
    negative_prompt: str
    motion: Motion


class CastRecord(Part):
    """A character that was drawn: from which words, into which file."""

    name: str
    description: str
    file: str


class FilmRecord(Part):
    """``film.json``. ``clips`` are fingerprints of what each scene's clip was made from."""

    settings: StorySettings
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
        record = FilmRecord.model_validate_json(earlier.files[SETTINGS_FILE].read_bytes())
        board = Storyboard.model_validate_json(earlier.files[STORYBOARD_FILE].read_bytes())
    except (KeyError, OSError, ValidationError) as error:
        raise BadInput(
            "earlier: this job is no story_video film whose files are still there.",
            code="not_a_story",
        ) from error
    return EarlierFilm(record, board, earlier.files)


def resolve_settings(request: StoryRequest, before: EarlierFilm | None) -> StorySettings:
    """What the request says, else what the film ``before`` had, else the defaults."""
    defaults: dict[str, Any] = {
        "style": "",
        "negative_prompt": "",
        "resolution": DEFAULT_RESOLUTION,
        "fps": DEFAULT_FPS,
        "motion": "camera",
    }
    if before is None:
        defaults["language"] = spoken_language(spoken_text(request), request.language).language
    earlier = before.record.settings if before is not None else None
    return StorySettings.model_validate(merge_settings(request, earlier, defaults))
