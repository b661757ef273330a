"""Video generation from a picture, a text or both, with AnimateDiff, SVD, Wan and LTX-Video.

``models.diffusion.video.families`` holds the differences of the families: arguments, lengths and
sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from PIL import ImageOps
from PIL.Image import Image

from models.diffusion.clone import ExclusiveUse, clone_pipeline
from models.diffusion.video.families import (
    VideoFamily,
    VideoParams,
    read_video_pipeline,
    video_family,
)
from models.diffusion.video.requests import ResolvedVideoParams, VideoNotSupported, VideoRequest
from models.memory.loader import PIPELINE_PLANS, CapabilityModel
from models.profiles.families import is_guided
from models.profiles.load import Capability, CapabilityConfig, MemoryNeed, Profile
from models.weights.distilled import DistilledFlowMatchScheduler

OnStep = Callable[[int, int], None]


class VideoDefaultsMissing(ValueError):
    """The profile names a video model without default size, length or steps."""


class ImageToVideo(CapabilityModel):
    """The loaded film model of a profile, safe to call from several threads.

    Videos are generated one at a time (see :class:`models.diffusion.clone.ExclusiveUse`). Each gets
    its own pipeline object and scheduler over the same weights, so that a stopped one leaves no
    state behind.
    """

    capability = Capability.IMAGE_TO_VIDEO
    plans = PIPELINE_PLANS

    def __init__(self, pipeline: Any, name: str, use: CapabilityConfig) -> None:
        if missing := [key for key in _REQUIRED_DEFAULTS if getattr(use, key) is None]:
            raise VideoDefaultsMissing(
                f"image_to_video of {name} must say {', '.join(missing)} in its profile"
            )
        super().__init__(pipeline)
        self._name, self._use = name, use
        self._family: VideoFamily = video_family(pipeline)
        self._exclusive = ExclusiveUse()

    @classmethod
    def read(cls, profile: Profile) -> ImageToVideo:
        """The film model of ``profile``, on the CPU (minutes if large)."""
        use = profile.capability_config(Capability.IMAGE_TO_VIDEO)
        return cls(read_video_pipeline(profile), profile.model(Capability.IMAGE_TO_VIDEO).name, use)

    @classmethod
    def cache_key(cls, profile: Profile) -> str:
        return f"film:{profile.model(cls.capability).name}"

    @classmethod
    def memory_need(cls, profile: Profile) -> MemoryNeed:
        """What the film model takes, and the picture model that it may be an adapter of."""
        model = profile.model(cls.capability)
        parts = [model] + ([profile.models[model.adapter_of]] if model.adapter_of else [])
        return MemoryNeed(
            components={
                name: size
                for part in reversed(parts)
                for name, size in part.memory.components.items()
            },
            embeddings={k: size for part in parts for k, size in part.memory.embeddings.items()},
            activations=max(part.memory.activations for part in parts),
            activations_sliced=max(part.memory.activations_sliced for part in parts),
        )

    def nearest_frames(self, frames: int) -> int:
        """Return the frame count nearest to ``frames`` that the family supports."""
        step, most = self._family.frame_step, self._family.max_frames
        return 1 + step * min(max(round((frames - 1) / step), 1), (most - 1) // step)

    def resolve(self, request: VideoRequest) -> ResolvedVideoParams:
        """Fill in the profile's defaults for ``request``.

        Raises:
            VideoNotSupported: the family does not support the size or length, or needs a picture.
        """
        use, family = self._use, self._family
        guidance = _or_default(request.guidance, use.guidance)
        ignored = {}
        if request.negative_prompt and not (family.takes_prompt and is_guided(guidance)):
            ignored["negative_prompt"] = f"{self._name} takes no negative prompt"
        used = ResolvedVideoParams(
            model=self._name,
            family=family.name,
            width=_or_default(request.width, use.width),
            height=_or_default(request.height, use.height),
            frames=_or_default(request.frames, use.frames),
            fps=_or_default(request.fps, use.fps),
            steps=_or_default(request.steps, use.steps),
            guidance=guidance,
            motion=request.motion if family.has_motion else None,
            uses_prompt=family.takes_prompt,
            scheduler=type(self.network.scheduler).__name__,
            ignored=ignored,
        )
        self._validate(request, used)
        return used

    def fit_aspect(self, request: VideoRequest) -> VideoRequest:
        """``request`` at the size of its aspect and the model's usual area, if it makes that."""
        if request.aspect is None or request.width or request.height:
            return request
        usual = self.resolve(request)
        ideal = (usual.width * usual.height * request.aspect) ** 0.5
        width, height = (
            max(round(side / _COMMON_MULTIPLE), 1) * _COMMON_MULTIPLE
            for side in (ideal, ideal / request.aspect)
        )
        fitted = replace(request, width=width, height=height)
        try:
            self.resolve(fitted)
        except VideoNotSupported:
            return request
        return fitted

    def generate(self, request: VideoRequest, on_step: OnStep | None = None) -> list[Image]:
        """Generate the frames of ``request``: RGB, at the size that :meth:`resolve` returns.

        A picture of another aspect ratio is scaled to cover the frame and cropped at its center.
        ``on_step(number, total)`` is called after every denoising step, and with number 0 while
        another video is generated. An exception it raises ends this request only.
        """

        used = self.resolve(request)
        image = request.image
        if image is not None:
            image = ImageOps.fit(image.convert("RGB"), (used.width, used.height))
        params = VideoParams(
            image=image,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            width=used.width,
            height=used.height,
            frames=used.frames,
            fps=used.fps,
            steps=used.steps,
            guidance=used.guidance,
            motion=request.motion,
            strength=self._use.strength or 0.8,
        )

        def after_step(pipe: Any, number: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if on_step is not None:
                on_step(number + 1, pipe.num_timesteps)
            return tensors

        def waiting() -> None:
            if on_step is not None:
                on_step(0, used.steps)

        with self._exclusive.acquire(waiting):
            pipeline = clone_pipeline(
                self.network, self._family.pipeline_class(with_image=image is not None)
            )
            if isinstance(pipeline.scheduler, DistilledFlowMatchScheduler):
                pipeline.scheduler.noise_seed = request.seed
            try:
                output = pipeline(
                    **self._family.arguments(pipeline, params),
                    num_inference_steps=used.steps,
                    # On the CPU, so that a seed gives the same video on every machine.
                    generator=torch.Generator("cpu").manual_seed(request.seed),
                    callback_on_step_end=after_step,
                    output_type="pil",
                )
            finally:
                self.network.maybe_free_model_hooks()
        frames: list[Image] = output.frames[0]
        return frames

    def _validate(self, request: VideoRequest, used: ResolvedVideoParams) -> None:
        use, family = self._use, self._family
        size = f"{used.width}x{used.height}"
        sides = (used.width, used.height)
        low, high = use.min_size or family.size_multiple, use.max_size or max(sides)
        if not all(low <= side <= high for side in sides):
            raise VideoNotSupported(
                f"{size} is not supported by {self._name}: sides of {low} to {high} pixels are"
            )
        if any(side % family.size_multiple for side in sides):
            raise VideoNotSupported(
                f"{size} is not supported by {self._name}:"
                f" sides must be multiples of {family.size_multiple} pixels"
            )
        if used.frames != self.nearest_frames(used.frames):
            raise VideoNotSupported(
                f"{used.frames} frames are not supported by {self._name}: it makes"
                f" {self.nearest_frames(1)} to {family.max_frames}"
                + (f", {family.frame_step}k+1 of them" if family.frame_step > 1 else "")
                + f"; {self.nearest_frames(used.frames)} is the nearest"
            )
        if used.fps < 1 or used.steps < 1 or not 0 <= request.motion <= 1:
            raise VideoNotSupported("fps and steps start at 1, and motion runs from 0 to 1")
        if request.image is None and family.needs_image:
            raise VideoNotSupported(f"{self._name} makes films from a picture; give it one")
        if request.image is not None and not family.takes_image:
            raise VideoNotSupported(f"{self._name} makes films from text alone; leave the picture")


_COMMON_MULTIPLE = 32  # of the sides in pixels: every family makes such sizes
_REQUIRED_DEFAULTS = ("width", "height", "frames", "fps", "steps", "guidance")


def _or_default(asked: Any, default: Any) -> Any:
    return default if asked is None else asked
