"""How a lesson film looks and sounds, once everything that was left out is decided."""

from __future__ import annotations

from pydantic import ValidationError

from deployments.contract import BadInput, EarlierJob
from deployments.generators.scene_film.settings import (
    SETTINGS_FILE,
    FilmSettings,
    merge_settings,
)
from deployments.generators.study_animation.spec import (
    DEFAULT_FPS,
    DEFAULT_RESOLUTION,
    StudyRequest,
)
from models.schemas.lesson import ThemeName
from models.slides.canvas import Canvas
from models.slides.theme import THEMES

_BAND = 9  # the subtitles' band takes a ninth of the shorter side
_MIN_CANVAS = 320


class LessonSettings(FilmSettings):
    """Of a lesson, which has a theme besides."""

    theme: ThemeName

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
    request: StudyRequest, script_language: str, before: LessonSettings | None
) -> LessonSettings:
    """What the request says, else what the film ``before`` had, else the defaults.

    Raises:
        BadInput: the clips of the film before would not fit.
    """
    defaults = {
        "language": script_language,
        "theme": "light",
        "resolution": DEFAULT_RESOLUTION,
        "fps": DEFAULT_FPS,
    }
    chosen = LessonSettings.model_validate(merge_settings(request, before, defaults))
    for name in ("aspect", "resolution", "fps", "burn_subtitles"):
        if before is not None and getattr(before, name) != getattr(chosen, name):
            raise BadInput(
                f"{name}: the earlier film has {getattr(before, name)}, and scenes made anew have"
                " to fit it; leave it out, or make the whole lesson anew.",
                code="does_not_fit_earlier",
            )
    return chosen


def earlier_settings(earlier: EarlierJob) -> LessonSettings:
    """How the earlier film was made.

    Raises:
        BadInput: the job is no lesson, or its files are gone.
    """
    try:
        return LessonSettings.model_validate_json(earlier.files[SETTINGS_FILE].read_bytes())
    except (KeyError, OSError, ValidationError) as error:
        raise BadInput(
            "earlier: this job is no study_animation whose files are still there.",
            code="not_a_lesson",
        ) from error
