"""Requests to the image capabilities, their resolved parameters and step events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PIL.Image import Image


class SizeNotSupported(ValueError):
    """The profile's weights do not support pictures of that size."""


class InvalidImages(ValueError):
    """The request's pictures contradict each other, such as a mask without a picture."""


class PicturesBlocked(ValueError):
    """The model's safety checker blanked pictures of the request.

    ``pictures`` are the others, by their index in the request.
    """

    def __init__(self, pictures: Mapping[int, Image]) -> None:
        super().__init__(
            "the model's safety checker found what it must not show; another prompt or seed may do"
        )
        self.pictures = dict(pictures)

    def __reduce__(self) -> tuple[type[PicturesBlocked], tuple[dict[int, Image]]]:
        return type(self), (self.pictures,)  # pickle would pass the message as pictures


@dataclass(frozen=True)
class DiffusionRequest:
    """A request for ``count`` pictures; ``None`` takes the profile's default.

    Picture i of a request uses ``seed + i``. Sizes are pixels; ``strength`` is 0..1. The pictures
    given decide the task: ``image`` alone is image to image, and with ``mask`` inpainting of its
    white pixels. ``person`` is an image prompt of the person to draw, ``garment`` one of the
    garment for the masked region. ``control`` is a map of edges, depth or a pose for ControlNet.

    ``flow`` is whose work it is, such as a user: flows get equal parts of the device. Among a
    flow's requests a higher ``priority`` goes first. ``label`` is what the engine's statistics
    count it under, such as the name of a generator.
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
    flow: str = ""
    label: str = ""


@dataclass(frozen=True)
class ResolvedParams:
    """The parameters of a request after the profile's defaults are filled in.

    ``ignored`` names what the request asks for and the model cannot do, each with the reason.
    """

    model: str
    width: int
    height: int
    steps: int
    guidance: float
    scheduler: str
    ignored: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DenoisingStep:
    """A finished denoising step of one picture; ``preview`` decodes its current latents."""

    image_index: int
    number: int
    total: int
    preview: Callable[[], Image]


OnStep = Callable[[DenoisingStep], None]


@dataclass(frozen=True)
class Lora:
    """A LoRA file in an allowed folder or hub repository, with the weight it is applied at."""

    source: str
    weight_name: str
    weight: float = 1.0
    subfolder: str = ""
    revision: str | None = None


class SchedulerNotSupported(ValueError):
    """No scheduler has that name, or the model was not trained for it."""
