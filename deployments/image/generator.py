"""Text to image with the weights of the installed profile."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from deployments.contract import Artifact, BadInput, Context, Runtime
from deployments.image.spec import ImageRequest
from models.diffusion.pictures import Pictures
from models.diffusion.requests import OnStep, PictureRequest, SizeNotSupported, Step, Used
from models.media.png import PictureMetadata, encode_png
from models.memory_use import MemoryStats
from models.profiles import Capability, load_profile
from models.residency import OutOfMemory, Residency

if TYPE_CHECKING:
    from PIL.Image import Image

# Decoding a preview costs about a step; the context would drop more than one a second anyway.
PREVIEW_EVERY_S = 1.0


class ImageGenerator:
    """Implements ``deployments.contract.Generator``; several jobs share every denoising step."""

    def load(self, runtime: Runtime) -> None:
        """Read the profile's weights (seconds; tens of seconds for large ones)."""
        profile = load_profile(runtime.profile)
        if profile.device == "cpu":
            _use_every_core()
        share = runtime.num_gpus if profile.device == "cuda" else 1.0
        residency = Residency.on(profile.device, share)
        drawn = (Capability.TEXT_TO_IMAGE,)
        self._pictures = Pictures(profile, residency, capabilities=drawn)
        self._pictures.warm()

    def generate(self, request: ImageRequest, context: Context) -> list[Artifact]:
        """``request.n`` PNG files, each labelled with its prompt, seed and model."""
        wanted = _engine_request(request, context.seed)
        try:
            used = self._pictures.plan(wanted)
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
        try:
            images = self._pictures.generate(wanted, _reporter(request.n, context))
        except OutOfMemory as error:
            raise BadInput(str(error), code="out_of_memory") from error
        context.note(
            denoising_seconds=round(time.monotonic() - started, 4),
            memory_plan=self._pictures.memory_plan(wanted),
        )
        context.progress(1.0, "encoding")
        return [_save(image, i, wanted, used, context) for i, image in enumerate(images)]

    def memory(self) -> MemoryStats:
        """What the replica's memory is doing, for its metrics."""
        return self._pictures.residency.stats()


def _engine_request(request: ImageRequest, seed: int) -> PictureRequest:
    return PictureRequest(
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
    """Tells the progress at every step of any picture, and shows a preview now and then."""
    lock = threading.Lock()
    shown_at = time.monotonic()
    done = [0.0] * pictures

    def report(step: Step) -> None:
        nonlocal shown_at
        with lock:
            done[step.picture] = step.number / step.total
            fraction = sum(done) / pictures
            now = time.monotonic()
            show = step.number < step.total and now - shown_at >= PREVIEW_EVERY_S
            if show:
                shown_at = now
        context.progress(fraction, "drawing")
        if show:
            context.preview(step.preview())

    return report


def _save(
    image: Image, index: int, wanted: PictureRequest, used: Used, context: Context
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
