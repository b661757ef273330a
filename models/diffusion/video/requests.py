"""Requests for generated films and their resolved parameters. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL.Image import Image


class VideoNotSupported(ValueError):
    """The profile's weights do not support such a video; the message says what they support."""


@dataclass(frozen=True)
class VideoRequest:
    """A request for one video; ``None`` takes the profile's default.

    Sizes are pixels, ``fps`` is frames a second. ``motion`` runs from 0 (still) to 1; families
    without that parameter (all but SVD) ignore it, and :class:`ResolvedVideoParams` says so.
    Without ``image`` the video comes from the prompt alone.
    """

    image: Image | None
    prompt: str
    seed: int
    negative_prompt: str = ""
    frames: int | None = None
    fps: int | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    motion: float = 0.5
    aspect: float | None = None  # width over height, where the size is not given


@dataclass(frozen=True)
class ResolvedVideoParams:
    """The parameters a request is run with; ``motion`` is ``None`` if the family lacks it.

    ``ignored`` names what was asked for and cannot be done, each with the reason.
    """

    model: str
    family: str
    width: int
    height: int
    frames: int
    fps: int
    steps: int
    guidance: float
    motion: float | None
    uses_prompt: bool  # False: the family uses the picture only (SVD)
    scheduler: str
    ignored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GeneratedVideo:
    """The frames of a video, RGB, and the parameters it was generated with."""

    frames: list[Image]
    used: ResolvedVideoParams
