"""What is asked of the drawing capabilities, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL.Image import Image

from models.diffusion.adapters import Lora


class SizeNotSupported(ValueError):
    """The profile's weights do not draw pictures of that size."""


class InvalidImages(ValueError):
    """The pictures of the request do not go together: a mask without a picture, say."""


@dataclass(frozen=True)
class DiffusionRequest:
    """``None`` takes the profile's default. Picture i of a request uses ``seed + i``.

    What is given decides what is done: ``image`` alone is repainted (image to image), with ``mask``
    (white is painted anew) only there; ``person`` is a picture of whom to draw, ``garment`` of what
    to dress the masked region in; ``control`` is a map of edges, depth or a pose to draw along.
    """

    prompt: str
    seed: int
    negative_prompt: str = ""
    count: int = 1
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    image: Image | None = None
    strength: float | None = None
    mask: Image | None = None
    person: Image | None = None
    garment: Image | None = None
    control: Image | None = None
    scale: float | None = None  # of person, garment or control
    loras: tuple[Lora, ...] = ()
    priority: int = 0


@dataclass(frozen=True)
class ResolvedParams:
    """What a request is made with."""

    model: str
    width: int
    height: int
    steps: int
    guidance: float
    scheduler: str


@dataclass(frozen=True)
class DenoisingStep:
    """One denoising step of one picture is done; ``preview`` decodes what is there."""

    image_index: int
    number: int
    total: int
    preview: Callable[[], Image]


OnStep = Callable[[DenoisingStep], None]
