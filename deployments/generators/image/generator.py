"""Pictures with the weights of the installed profile: drawn, redrawn, continued, enlarged."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
from PIL import Image

from deployments.contract import Artifact, Context
from deployments.generators.common.drawing import draw_with, drawing_notes, memory_plan
from deployments.generators.common.errors import translate_model_errors
from deployments.generators.common.input_images import read_input_image
from deployments.generators.common.progress import ProgressReporter
from deployments.generators.image.control import control_map
from deployments.generators.image.spec import ImageRequest
from models.diffusion.inpainting import Margins, inpaint_region, outpaint_steps
from models.diffusion.loras import select_loras
from models.diffusion.requests import DiffusionRequest, PicturesBlocked, ResolvedParams
from models.diffusion.resolve import required_capability, resolve_request
from models.diffusion.sizes import size_of_aspect
from models.inference.operations import EstimateDepth, Upscale
from models.media.images import CONTENT_TYPES, encode_image
from models.media.png import ImageMetadata
from models.profiles.load import Capability, Profile
from models.vision.cutout import extract_subject, needs_depth

_SEEDS = 2**32


class ImageGenerator:
    """Implements ``deployments.contract.Generator``; several jobs share every denoising step."""

    @translate_model_errors()
    def generate(self, request: ImageRequest, context: Context) -> list[Artifact]:
        """``request.n`` files, each labelled with its prompt, seed and model."""
        wanted = self._build_request(request, context)
        used = _resolve(context.inference.profile, request, wanted)
        context.note(
            **drawing_notes(used),
            seed=context.seed,
        )
        started = time.monotonic()
        drawn = self._draw_allowed(request, wanted, context)
        images = list(drawn.values())
        context.note(
            denoising_seconds=round(time.monotonic() - started, 4),
            memory_plan=memory_plan(context.inference, wanted),
        )
        if request.upscale > 1:
            images = self._upscale(request, images, context)
        if request.background == "transparent":
            images = [self._remove_background(image, context) for image in images]
        context.note(width=images[0].width, height=images[0].height)
        context.progress(1.0, "encoding")
        return [
            _save(image, i, request, used, context) for i, image in zip(drawn, images, strict=True)
        ]

    def _build_request(self, request: ImageRequest, context: Context) -> DiffusionRequest:
        """``request`` as the models know it, its pictures read."""
        profile = context.inference.profile
        wanted = DiffusionRequest(
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
            drawn_along = read_input_image(context, "control.image")
            wanted = replace(wanted, control=drawn_along, scale=request.control.scale)
        if request.init_image is not None:
            wanted = replace(wanted, image=read_input_image(context, "init_image"))
        if request.mask is not None:
            wanted = replace(wanted, mask=_read_mask(read_input_image(context, "mask", alpha=True)))
        if request.loras:
            what = Capability.INPAINT if request.extend is not None else required_capability(wanted)
            asked = {lora.name: lora.weight for lora in request.loras}
            wanted = replace(wanted, loras=select_loras(profile, what, asked))
            context.note(loras=[lora.model_dump() for lora in request.loras])
        if wanted.mask is not None or request.extend is not None:
            # Such a picture keeps its size; what is painted is brought to one the weights draw.
            width, height = size_of_aspect(profile, Capability.INPAINT, 1.0)
            return replace(wanted, width=width, height=height)
        shown = wanted.image or wanted.control
        if shown is not None and not (request.width or request.height):
            aspect = shown.width / shown.height
            width, height = size_of_aspect(profile, required_capability(wanted), aspect)
            wanted = replace(wanted, width=width, height=height)
        if request.control is not None and wanted.control is not None:
            used = resolve_request(profile, wanted)
            size = (used.width, used.height)
            along = control_map(wanted.control, request.control, size, context.inference)
            return replace(wanted, control=along)
        return wanted

    def _draw_allowed(
        self, request: ImageRequest, wanted: DiffusionRequest, context: Context
    ) -> dict[int, Image.Image]:
        """The pictures by number, without those that a safety checker blanked.

        Raises:
            PicturesBlocked: all were.
        """
        try:
            return dict(enumerate(self._draw(request, wanted, context)))
        except PicturesBlocked as blocked:
            if not blocked.pictures:
                raise
            drawn = blocked.pictures
        context.note(blocked=[number for number in range(request.n) if number not in drawn])
        context.charge_only(len(drawn) / request.n)
        return drawn

    def _draw(
        self, request: ImageRequest, wanted: DiffusionRequest, context: Context
    ) -> list[Image.Image]:
        whole = 0.9 if request.upscale > 1 else 1.0
        if request.extend is not None:
            return self._extend_all(request, wanted, context, whole)
        pictures = [f"picture {number}" for number in range(1, request.n + 1)]
        progress = ProgressReporter(context, "drawing", dict.fromkeys(pictures, 1.0), until=whole)
        draw = draw_with(context.inference, progress.batch_callback(pictures))
        if wanted.mask is not None:
            return inpaint_region(context.inference.profile, draw, wanted)
        return draw(wanted)

    def _extend_all(
        self, request: ImageRequest, wanted: DiffusionRequest, context: Context, whole: float
    ) -> list[Image.Image]:
        extended: dict[int, Image.Image] = {}
        for number in range(request.n):
            with suppress(PicturesBlocked):
                extended[number] = self._extend(request, wanted, number, context, whole)
        if len(extended) < request.n:
            raise PicturesBlocked(extended)
        return list(extended.values())

    def _extend(
        self,
        request: ImageRequest,
        wanted: DiffusionRequest,
        number: int,
        context: Context,
        whole: float,
    ) -> Image.Image:
        """Picture ``number`` of those that continue the given one, painted side by side."""
        assert wanted.image is not None and request.extend is not None
        margins = Margins(**request.extend.model_dump())
        # How many steps there are is known only once they are done: as many again as were made.
        growing = outpaint_steps(wanted.image, margins)
        canvas, new = next(growing)
        begun, share = whole * number / request.n, whole / request.n
        inference, seed = context.inference, (wanted.seed + number) % _SEEDS
        while True:
            progress = ProgressReporter(context, "extending", since=begun, until=begun + share / 2)
            part = replace(wanted, image=canvas, mask=new, count=1, seed=seed)
            draw = draw_with(inference, progress.callback("extending"))
            (painted,) = inpaint_region(inference.profile, draw, part)
            begun, share = begun + share / 2, share / 2
            try:
                canvas, new = growing.send(painted)
            except StopIteration:
                return painted

    def _upscale(
        self, request: ImageRequest, images: list[Image.Image], context: Context
    ) -> list[Image.Image]:
        inference = context.inference
        context.note(upscaled_with=inference.profile.model(Capability.UPSCALE).name)
        made = []
        for number, image in enumerate(images):
            since, each = 0.9 + 0.1 * number / len(images), 0.1 / len(images)
            progress = ProgressReporter(context, "enlarging", since=since, until=since + each)
            progress.update(0.0)
            operation = Upscale(image, request.upscale)
            made.append(inference.run(operation, progress.callback("enlarging")))
        return made

    def _remove_background(self, image: Image.Image, context: Context) -> Image.Image:
        """The thing that ``image`` shows, RGBA; its depth is asked where the ground is busy."""

        context.progress(1.0, "cutting out")
        near = None
        if needs_depth(image):
            near = context.inference.run(EstimateDepth(image))
        mask = (extract_subject(image, near).mask * 255).round().astype(np.uint8)
        clear = image.convert("RGBA")
        clear.putalpha(Image.fromarray(mask))
        return clear


def _resolve(profile: Profile, request: ImageRequest, wanted: DiffusionRequest) -> ResolvedParams:
    """What the pictures are drawn with; those that are continued are painted inside a mask."""
    if request.extend is not None:
        wanted = replace(wanted, mask=wanted.image)
    return resolve_request(profile, wanted)


def _read_mask(given: Image.Image) -> Image.Image:
    """White where to paint: the picture's own brightness, or where it is transparent."""
    alpha = given.getchannel("A")
    if min(alpha.tobytes()) < 255:
        return alpha.point(lambda value: 255 - value)
    return given.convert("L")


def _save(
    image: Image.Image, index: int, request: ImageRequest, used: ResolvedParams, context: Context
) -> Artifact:
    path = context.workdir / f"image-{index}.{request.format}"
    label = ImageMetadata(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=context.seed + index,
        model=used.model,
        steps=used.steps,
        guidance=used.guidance,
    )
    path.write_bytes(encode_image(image, label, request.format, request.quality))
    kind = CONTENT_TYPES[request.format]
    return Artifact(path, "image", kind, width=image.width, height=image.height)
