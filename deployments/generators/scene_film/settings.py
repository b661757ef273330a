"""How a film of scenes looks and sounds, once everything that was left out is decided."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field

from deployments.contract import Request
from deployments.generators.common.fields import FilmAspect, Part, Resolution

SETTINGS_FILE = "film.json"


class FilmSettings(Part):
    """Kept beside the film, so that scenes can be made anew to match it."""

    language: str
    voice: str | None
    speed: float
    aspect: FilmAspect
    resolution: Resolution
    fps: Annotated[int, Field(ge=1)]
    burn_subtitles: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the film in pixels, even."""
        short = int(self.resolution.removesuffix("p"))
        long = round(short * Fraction(16, 9) / 2) * 2
        return {"16:9": (long, short), "9:16": (short, long), "1:1": (short, short)}[self.aspect]


USUAL_SETTINGS: dict[str, Any] = {
    "language": "en",
    "voice": None,
    "speed": 1.0,
    "aspect": "16:9",
    "burn_subtitles": False,
}


def merge_settings(
    request: Request, before: FilmSettings | None, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """What the request says, else what the film ``before`` had, else ``USUAL_SETTINGS`` with the
    generator's ``defaults``."""
    usual = {**USUAL_SETTINGS, **defaults}
    if before is not None:
        usual = before.model_dump()
        language = getattr(request, "language", None)
        if language not in (None, before.language) and not getattr(request, "voice", None):
            usual["voice"] = None  # the earlier one speaks another language
    given = {name: getattr(request, name) for name in usual}
    return usual | {name: value for name, value in given.items() if value is not None}
