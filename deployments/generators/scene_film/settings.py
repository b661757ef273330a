"""How a lesson film looks and sounds, once everything that was left out is decided."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.contract import BadInput, EarlierJob
from deployments.generators.common.fields import Resolution
from deployments.generators.study_animation.spec import (
    DEFAULT_FPS,
    DEFAULT_RESOLUTION,
    StudyRequest,
)
from models.schemas.lesson import Aspect, ThemeName
from models.slides.canvas import Canvas
from models.slides.theme import THEMES

SETTINGS_FILE = "film.json"
_BAND = 9  # the subtitles' band takes a ninth of the shorter side
_MIN_CANVAS = 320


class FilmSettings(BaseModel):
    """Kept beside the film, so that scenes can be made anew to match it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    voice: str | None
    speed: float
    theme: ThemeName
    aspect: Aspect
    resolution: Resolution
    fps: Annotated[int, Field(ge=1)]
    burn_subtitles: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, even."""
        short = int(self.resolution.removesuffix("p"))
        long = round(short * Fraction(16, 9) / 2) * 2
        return {"16:9": (long, short), "9:16": (short, long), "1:1": (short, short)}[self.aspect]

    @property
    def band(self) -> int:
        """Rows below the scenes that hold burned subtitles; 0 without them."""
        width, height = self.size
        room = height - _MIN_CANVAS if min(width, height) == height else height
        return min(min(width, height) // _BAND, room) // 2 * 2 if self.burn_subtitles else 0

    def canvas(self) -> Canvas:
        width, height = self.size
        return Canvas(width, height - self.band, float(self.fps), THEMES[self.theme], self.language)


def resolve_settings(
    request: StudyRequest, script_language: str, before: FilmSettings | None
) -> FilmSettings:
    """What the request says, else what the film ``before`` had, else the defaults.

    Raises:
        BadInput: the clips of the film before would not fit.
    """
    chosen = FilmSettings(
        language=request.language or (before.language if before else script_language),
        voice=request.voice or (before.voice if before else None),
        speed=request.speed or (before.speed if before else 1.0),
        theme=request.theme or (before.theme if before else "light"),
        aspect=request.aspect or (before.aspect if before else "16:9"),
        resolution=request.resolution or (before.resolution if before else DEFAULT_RESOLUTION),
        fps=request.fps or (before.fps if before else DEFAULT_FPS),
        burn_subtitles=(
            request.burn_subtitles
            if request.burn_subtitles is not None
            else before is not None and before.burn_subtitles
        ),
    )
    for name in ("aspect", "resolution", "fps", "burn_subtitles"):
        if before is not None and getattr(before, name) != getattr(chosen, name):
            raise BadInput(
                f"{name}: the earlier film has {getattr(before, name)}, and scenes made anew have"
                " to fit it; leave it out, or make the whole lesson anew.",
                code="does_not_fit_earlier",
            )
    return chosen


def earlier_settings(earlier: EarlierJob) -> FilmSettings:
    """How the earlier film was made.

    Raises:
        BadInput: the job is no lesson, or its files are gone.
    """
    try:
        return FilmSettings.model_validate_json(earlier.files[SETTINGS_FILE].read_bytes())
    except (KeyError, OSError, ValidationError) as error:
        raise BadInput(
            "earlier: this job is no study_animation whose files are still there.",
            code="not_a_lesson",
        ) from error
