"""Text to image with a diffusers pipeline that several threads may use."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.profiles import Profile, TextToImageProfile
from models.weights import load_text_to_image

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image


class SizeNotSupported(ValueError):
    """The profile's weights do not draw pictures of that size."""


@dataclass(frozen=True)
class TextToImageRequest:
    """``None`` takes the profile's default. Picture i of a request uses ``seed + i``."""

    prompt: str
    seed: int
    negative_prompt: str = ""
    count: int = 1
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Used:
    """What a request was really made with."""

    model: str
    width: int
    height: int
    steps: int
    guidance: float
    scheduler: str


@dataclass(frozen=True)
class Step:
    """One denoising step of one picture is done; ``preview`` decodes what is there (slow)."""

    picture: int
    number: int
    total: int
    preview: Callable[[], Image]


OnStep = Callable[[Step], None]


class TextToImage:
    """The loaded weights of a profile.

    A pipeline object keeps scheduler state and breaks when it is called twice at once. Here each
    call gets its own pipeline object and scheduler over the same weights, which are only read.
    """

    def __init__(
        self, pipeline: DiffusionPipeline, profile: TextToImageProfile, device: str
    ) -> None:
        self.pipeline, self._profile, self._device = pipeline, profile, device
        self._building = threading.Lock()

    @classmethod
    def load(cls, profile: Profile) -> TextToImage:
        """Read the weights (seconds; tens of seconds for large ones)."""
        wanted = profile.text_to_image
        pipeline = load_text_to_image(wanted.weights, wanted.dtype, profile.device)
        return cls(pipeline, wanted, profile.device)

    def plan(self, request: TextToImageRequest) -> Used:
        """What ``request`` will be made with.

        Raises:
            SizeNotSupported: outside what the profile's weights were made for.
        """
        profile = self._profile
        width, height = request.width or profile.width, request.height or profile.height
        if not all(profile.min_size <= side <= profile.max_size for side in (width, height)):
            raise SizeNotSupported(
                f"{width}x{height} is not supported by {profile.weights.name}:"
                f" sides of {profile.min_size} to {profile.max_size} pixels are"
            )
        return Used(
            model=profile.weights.name,
            width=width,
            height=height,
            steps=request.steps or profile.steps,
            guidance=profile.guidance if request.guidance is None else request.guidance,
            scheduler=type(self.pipeline.scheduler).__name__,
        )

    def generate(self, request: TextToImageRequest, on_step: OnStep | None = None) -> list[Image]:
        """The pictures of ``request``, each what a plain pipeline gives for the same seed.

        ``on_step`` is called after every step; what it raises ends the request and nothing else.
        """
        used = self.plan(request)
        return [self._one(request, used, index, on_step) for index in range(request.count)]

    def _one(
        self, request: TextToImageRequest, used: Used, index: int, on_step: OnStep | None
    ) -> Image:
        import torch

        pipeline = self._own_pipeline()

        def after_step(pipe: Any, number: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if on_step is not None:
                latents = tensors["latents"]
                on_step(Step(index, number + 1, used.steps, lambda: _decode(pipe, latents)))
            return tensors

        generator = torch.Generator(self._device).manual_seed(request.seed + index)
        made = pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or None,
            width=used.width,
            height=used.height,
            num_inference_steps=used.steps,
            guidance_scale=used.guidance,
            generator=generator,
            callback_on_step_end=after_step,
        )
        return made.images[0]

    def _own_pipeline(self) -> Any:
        with self._building:
            parts = dict(self.pipeline.components)
            parts["scheduler"] = copy.deepcopy(parts["scheduler"])
            if "safety_checker" in parts:
                parts["requires_safety_checker"] = parts["safety_checker"] is not None
            own = type(self.pipeline)(**parts)
        own.set_progress_bar_config(disable=True)
        return own


def _decode(pipeline: Any, latents: Any) -> Image:
    import torch

    with torch.no_grad():
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    return pipeline.image_processor.postprocess(decoded, output_type="pil")[0]
