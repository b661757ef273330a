"""Pictures with the weights of the installed profile: drawn, redrawn, continued, enlarged."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from deployments.contract import Artifact, Context, Runtime
from deployments.image.control import control_map
from deployments.image.spec import ImageRequest
from deployments.progress import Progress
from deployments.studio import given_picture, open_studio, refusing
from models.cutout import NothingFound, cut_out, needs_depth
from models.depth import DepthEstimator
from models.diffusion.loras import LoraRefused, chosen
from models.diffusion.pictures import DRAWING, Pictures, capability_of
from models.diffusion.region import Margins, extended, fitting_size, repaint
from models.diffusion.requests import PictureRequest, Used
from models.media.picture_out import CONTENT_TYPES, encode_picture
from models.media.png import PictureMetadata
from models.memory_use import MemoryStats
from models.profiles import Capability
from models.upscale import UpscaleNotSupported, Upscaler, UpscaleRequest

if TYPE_CHECKING:
    from PIL.Image import Image

_DRAWN = tuple(one for one in DRAWING if one not in (Capability.GARMENT, Capability.IDENTITY))
_SEEDS = 2**32


class ImageGenerator:
    """Implements ``deployments.contract.Generator``; several jobs share every denoising step."""

    def load(self, runtime: Runtime) -> None:
        """Read the profile's weights (seconds; tens of seconds for large ones)."""
        self._profile, self._residency = open_studio(runtime)
        self._pictures = Pictures(self._profile, self._residency, capabilities=_DRAWN)
        self._pictures.warm()

    def generate(self, request: ImageRequest, context: Context) -> list[Artifact]:
        """``request.n`` files, each labelled with its prompt, seed and model."""
        reasons: dict[type[Exception], str] = {
            UpscaleNotSupported: "upscale_not_supported",
            LoraRefused: "unknown_lora",
            NothingFound: "nothing_found",
        }
        with refusing(reasons):
            wanted = self._wanted(request, context)
            used = self._pictures.plan(wanted)
            context.note(
                model=used.model,
                steps=used.steps,
                guidance=used.guidance,
                scheduler=used.scheduler,
                seed=context.seed,
            )
            started = time.monotonic()
            images = self._drawn(request, wanted, context)
            context.note(
                denoising_seconds=round(time.monotonic() - started, 4),
                memory_plan=self._pictures.memory_plan(wanted),
            )
            if request.upscale > 1:
                images = self._enlarged(request, images, context)
            if request.background == "transparent":
                images = [self._cut_out(image, context) for image in images]
        context.note(width=images[0].width, height=images[0].height)
        context.progress(1.0, "encoding")
        return [_save(image, i, request, used, context) for i, image in enumerate(images)]

    def memory(self) -> MemoryStats:
        """What the replica's memory is doing, for its metrics."""
        return self._residency.stats()

    def _wanted(self, request: ImageRequest, context: Context) -> PictureRequest:
        """``request`` as the models know it, its pictures read."""
        wanted = PictureRequest(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=context.seed,
            count=request.n,
            width=request.width,
            height=request.height,
            steps=request.steps,
            guidance=request.guidance,
            scheduler=request.scheduler,
            strength=request.strength,
        )
        if request.control is not None:
            drawn_along = given_picture(context, "control.image")
            wanted = replace(wanted, control=drawn_along, scale=request.control.scale)
        if request.init_image is not None:
            wanted = replace(wanted, image=given_picture(context, "init_image"))
        if request.mask is not None:
            wanted = replace(wanted, mask=_mask(given_picture(context, "mask", alpha=True)))
        if request.loras:
            what = Capability.INPAINT if request.extend is not None else capability_of(wanted)
            asked = {lora.name: lora.weight for lora in request.loras}
            wanted = replace(wanted, loras=chosen(self._profile, what, asked))
            context.note(loras=[lora.model_dump() for lora in request.loras])
        if wanted.mask is not None or request.extend is not None:
            # Such a picture keeps its size; what is painted is brought to one the weights draw.
            width, height = fitting_size(self._pictures, Capability.INPAINT, 1.0)
            return replace(wanted, width=width, height=height)
        shown = wanted.image or wanted.control
        if shown is not None and not (request.width or request.height):
            aspect = shown.width / shown.height
            width, height = fitting_size(self._pictures, capability_of(wanted), aspect)
            wanted = replace(wanted, width=width, height=height)
        if request.control is not None and wanted.control is not None:
            used = self._pictures.plan(wanted)
            along = control_map(
                wanted.control, request.control, (used.width, used.height), self._profile,
                self._residency,
            )  # fmt: skip
            return replace(wanted, control=along)
        return wanted

    def _drawn(
        self, request: ImageRequest, wanted: PictureRequest, context: Context
    ) -> list[Image]:
        whole = 0.9 if request.upscale > 1 else 1.0
        if request.extend is not None:
            return [
                self._extended(request, wanted, number, context, whole)
                for number in range(request.n)
            ]
        progress = Progress(context, "drawing", request.n, until=whole)
        if wanted.mask is not None:
            return repaint(self._pictures, wanted, progress.step)
        return self._pictures.generate(wanted, progress.step)

    def _extended(
        self,
        request: ImageRequest,
        wanted: PictureRequest,
        number: int,
        context: Context,
        whole: float,
    ) -> Image:
        """Picture ``number`` of those that continue the given one, painted side by side."""
        assert wanted.image is not None and request.extend is not None
        margins = Margins(**request.extend.model_dump())
        # How many steps there are is known only once they are done: as many again as were made.
        growing = extended(wanted.image, margins)
        canvas, new = next(growing)
        begun, share = whole * number / request.n, whole / request.n
        seed = (wanted.seed + number) % _SEEDS
        while True:
            progress = Progress(context, "extending", 1, since=begun, until=begun + share / 2)
            part = replace(wanted, image=canvas, mask=new, count=1, seed=seed)
            (painted,) = repaint(self._pictures, part, progress.step)
            begun, share = begun + share / 2, share / 2
            try:
                canvas, new = growing.send(painted)
            except StopIteration:
                return painted

    def _enlarged(
        self, request: ImageRequest, images: list[Image], context: Context
    ) -> list[Image]:
        upscaler = Upscaler.loadable(self._profile)
        context.note(upscaled_with=self._profile.model(Capability.UPSCALE).name)
        made = []
        for number, image in enumerate(images):
            since, each = 0.9 + 0.1 * number / len(images), 0.1 / len(images)
            progress = Progress(context, "enlarging", 1, since=since, until=since + each)
            wanted = UpscaleRequest(
                image, request.upscale, request.prompt, request.negative_prompt, context.seed
            )
            progress.share(0.0)
            enlarged = self._residency.run(
                upscaler,
                lambda model, wanted=wanted, progress=progress: model.upscale(  # type: ignore[misc]
                    wanted, lambda step, total: progress.share(step / total)
                ),
            )
            made.append(enlarged.image)
        return made

    def _cut_out(self, image: Image, context: Context) -> Image:
        """The thing that ``image`` shows, RGBA; its depth is asked where the ground is busy."""
        import numpy as np
        from PIL import Image as Pillow

        context.progress(1.0, "cutting out")
        near = None
        if needs_depth(image):
            depth = DepthEstimator.loadable(self._profile)
            near = self._residency.run(depth, lambda loaded: loaded.estimate(image))
        mask = (cut_out(image, near).mask * 255).round().astype(np.uint8)
        clear = image.convert("RGBA")
        clear.putalpha(Pillow.fromarray(mask))
        return clear


def _mask(given: Image) -> Image:
    """White where to paint: the picture's own brightness, or where it is transparent."""
    alpha = given.getchannel("A")
    if min(alpha.tobytes()) < 255:
        return alpha.point(lambda value: 255 - value)
    return given.convert("L")


def _save(
    image: Image, index: int, request: ImageRequest, used: Used, context: Context
) -> Artifact:
    path = context.workdir / f"image-{index}.{request.format}"
    label = PictureMetadata(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=context.seed + index,
        model=used.model,
        steps=used.steps,
        guidance=used.guidance,
    )
    path.write_bytes(encode_picture(image, label, request.format, request.quality))
    kind = CONTENT_TYPES[request.format]
    return Artifact(path, "image", kind, width=image.width, height=image.height)
