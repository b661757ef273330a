"""Text to image with the weights of the installed profile."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from deployments.contract import Artifact, BadInput, Context, Runtime
from deployments.image.spec import ImageRequest
from models.diffusion.text_to_image import (
    OnStep,
    SizeNotSupported,
    Step,
    TextToImage,
    TextToImageRequest,
    Used,
)
from models.media.png import PictureMetadata, encode_png
from models.profiles import load_profile

if TYPE_CHECKING:
    from PIL.Image import Image

# Decoding a preview costs about a step; the context would drop more than one a second anyway.
PREVIEW_EVERY_S = 1.0


class ImageGenerator:
    """Implements ``deployments.contract.Generator``."""

    def load(self, runtime: Runtime) -> None:
        """Read the profile's weights (seconds; tens of seconds for large ones)."""
        profile = load_profile(runtime.profile)
        if profile.device == "cpu":
            _use_every_core()
        self._engine = TextToImage.load(profile)

    def generate(self, request: ImageRequest, context: Context) -> list[Artifact]:
        """``request.n`` PNG files, each labelled with its prompt, seed and model."""
        wanted = _engine_request(request, context.seed)
        try:
            used = self._engine.plan(wanted)
        except SizeNotSupported as error:
            raise BadInput(str(error), code="size_not_supported") from error
        context.note(
            model=used.model,
            width=used.width,
            height=used.height,
            steps=used.steps,
            guidance=used.guidance,
            scheduler=used.scheduler,
            seed=context.seed,
        )
        started = time.monotonic()
        images = self._engine.generate(wanted, _reporter(request.n, context))
        context.note(denoising_seconds=round(time.monotonic() - started, 4))
        context.progress(1.0, "encoding")
        return [_save(image, i, wanted, used, context) for i, image in enumerate(images)]


def _engine_request(request: ImageRequest, seed: int) -> TextToImageRequest:
    return TextToImageRequest(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=seed,
        count=request.n,
        width=request.width,
        height=request.height,
        steps=request.steps,
        guidance=request.guidance,
    )


def _reporter(pictures: int, context: Context) -> OnStep:
    """Tells the progress at every step, and shows a preview now and then."""
    shown_at = time.monotonic()

    def report(step: Step) -> None:
        nonlocal shown_at
        done = step.picture * step.total + step.number
        context.progress(done / (pictures * step.total), "drawing")
        if step.number < step.total and time.monotonic() - shown_at >= PREVIEW_EVERY_S:
            context.preview(step.preview())
            shown_at = time.monotonic()

    return report


def _save(
    image: Image, index: int, wanted: TextToImageRequest, used: Used, context: Context
) -> Artifact:
    path = context.workdir / f"image-{index}.png"
    label = PictureMetadata(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        seed=wanted.seed + index,
        model=used.model,
        steps=used.steps,
        guidance=used.guidance,
    )
    path.write_bytes(encode_png(image, label))
    return Artifact(path, "image", "image/png", width=image.width, height=image.height)


def _use_every_core() -> None:
    """Ray gives an actor with less than a CPU one thread; a picture is worth them all."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
