"""Upscale pictures by resampling, or by a diffusion model where the profile names one.

The diffusion models work on tiles of one size, so that a large picture takes no more memory than
a small one. Tiles overlap and are blended, so that no seam is visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter

from models.diffusion.clone import ExclusiveUse, clone_pipeline
from models.memory.loader import PIPELINE_PLANS, CapabilityModel
from models.profiles.load import Capability, CapabilityConfig, Model, Profile
from models.weights.load import load_model

OnStep = Callable[[int, int], None]

# Scale factors by loader.
_FACTORS = {
    "lanczos": (2, 4),
    "StableDiffusionUpscalePipeline": (4,),
    "StableDiffusionLatentUpscalePipeline": (2,),
}
_TILE, _OVERLAP, _GRID = 512, 32, 64  # pixels of the small picture; the latent upscaler needs 64ths


class UpscaleNotSupported(ValueError):
    """The profile's upscaler lacks that scale factor or loader; the message lists those it has."""


@dataclass(frozen=True)
class UpscaleRequest:
    """A picture to upscale; ``None`` takes the profile's default.

    Only diffusion models use the prompts, seed, steps and guidance.
    """

    image: Image.Image
    factor: int
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Upscaled:
    """The upscaled picture and the model's name; ``generative`` is False for plain resampling."""

    image: Image.Image
    model: str
    generative: bool


class Upscaler(CapabilityModel):
    """The upscaler of a profile, safe to call from several threads."""

    capability = Capability.UPSCALE
    plans = PIPELINE_PLANS

    def __init__(self, model: Model, use: CapabilityConfig, pipeline: Any = None) -> None:
        if model.loader not in _FACTORS:
            raise UpscaleNotSupported(
                f"{model.loader} is no upscaler; these are: {', '.join(_FACTORS)}"
            )
        super().__init__(pipeline)
        self._model, self._use = model, use
        self._turns = ExclusiveUse()

    @classmethod
    def read(cls, profile: Profile) -> Upscaler:
        """The upscaler of ``profile``, its weights (if it has any) on the CPU."""
        model, use = (
            profile.model(Capability.UPSCALE),
            profile.capability_config(Capability.UPSCALE),
        )
        upscaler = cls(model, use)  # refuses a loader it does not know before any weights are read
        upscaler.network = None if model.is_built_in else load_model(model)
        return upscaler

    @classmethod
    def cache_key(cls, profile: Profile) -> str:
        return "upscaler"

    @property
    def factors(self) -> tuple[int, ...]:
        """The supported scale factors."""
        return _FACTORS[self._model.loader]

    def upscale(self, request: UpscaleRequest, on_step: OnStep | None = None) -> Upscaled:
        """Enlarge ``request.image``; the result is RGB.

        ``on_step(number, total)`` counts the denoising steps of all tiles, and is called with
        number 0 while another picture is upscaled. An exception it raises ends this request only.

        Raises:
            UpscaleNotSupported: a factor other than :attr:`factors`.
        """
        if request.factor not in self.factors:
            offered = " or ".join(str(factor) for factor in self.factors)
            raise UpscaleNotSupported(
                f"{self._model.name} enlarges by {offered}, not by {request.factor}"
            )
        image = request.image.convert("RGB")
        if self.network is None:
            return Upscaled(_resample(image, request.factor), self._model.name, generative=False)
        enlarged = self._upscale_tiled(image, request, on_step or (lambda number, total: None))
        return Upscaled(enlarged, self._model.name, generative=True)

    def _upscale_tiled(
        self, image: Image.Image, request: UpscaleRequest, on_step: OnStep
    ) -> Image.Image:
        steps = request.steps or self._use.steps or 30
        side = self._use.width or _TILE
        tiles = list(tile_boxes(image.width, image.height, side))
        total = steps * len(tiles)

        def enlarge(number: int, tile: Image.Image) -> Image.Image:
            # Each tile has a seed of its own: the same noise in every tile shows as a pattern.
            return self._upscale_tile(
                tile,
                request,
                steps,
                request.seed + number,
                lambda step: on_step(number * steps + step, total),
            )

        with self._turns.acquire(lambda: on_step(0, total)):
            try:
                return blend_tiles(image, request.factor, tiles, enlarge)
            finally:
                self.network.maybe_free_model_hooks()

    def _upscale_tile(
        self,
        tile: Image.Image,
        request: UpscaleRequest,
        steps: int,
        seed: int,
        stepped: Callable[[int], None],
    ) -> Image.Image:

        guidance = self._use.guidance if request.guidance is None else request.guidance
        output = clone_pipeline(self.network)(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or None,
            image=tile,
            num_inference_steps=steps,
            guidance_scale=7.5 if guidance is None else guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            callback=lambda index, *_: stepped(index + 1),
        )
        enlarged: Image.Image = output.images[0]
        return enlarged


def _resample(image: Image.Image, factor: int) -> Image.Image:

    large = image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)
    # A mild sharpening restores the edges that resampling softened, without halos.
    return large.filter(ImageFilter.UnsharpMask(radius=factor / 2, percent=50, threshold=2))


def tile_boxes(width: int, height: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes (left, top, right, bottom) that cover the picture, in pixels.

    They overlap by 32 pixels or more and have one size: ``side``, or the size of a smaller picture
    rounded up to 64 pixels. A rounded box extends beyond the picture.
    """
    columns, rows = _starts(width, side), _starts(height, side)
    box_width, box_height = (
        min(side, -(-width // _GRID) * _GRID),
        min(side, -(-height // _GRID) * _GRID),
    )
    for top in rows:
        for left in columns:
            yield left, top, left + box_width, top + box_height


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = -(-(length - _OVERLAP) // (side - _OVERLAP))
    return [round(number * (length - side) / (count - 1)) for number in range(count)]


def blend_tiles(
    image: Image.Image,
    factor: int,
    boxes: list[tuple[int, int, int, int]],
    enlarge: Callable[[int, Image.Image], Image.Image],
) -> Image.Image:
    """Enlarge ``image`` by ``factor`` box by box, and blend the boxes where they overlap."""

    pixels = np.asarray(image)
    size = (image.height * factor, image.width * factor)
    total = np.zeros((*size, 3), dtype=np.float32)
    weight = np.zeros((*size, 1), dtype=np.float32)
    for number, (left, top, right, bottom) in enumerate(boxes):
        tile = pixels[top:bottom, left:right]
        beyond = ((0, bottom - top - tile.shape[0]), (0, right - left - tile.shape[1]), (0, 0))
        enlarged = enlarge(number, Image.fromarray(np.pad(tile, beyond, mode="edge")))
        part = np.asarray(enlarged.convert("RGB"), dtype=np.float32)
        rows = slice(top * factor, min(bottom * factor, size[0]))
        columns = slice(left * factor, min(right * factor, size[1]))
        part = part[: rows.stop - rows.start, : columns.stop - columns.start]
        fade = _tile_weights(part.shape[0], part.shape[1], _OVERLAP * factor)
        total[rows, columns] += part * fade
        weight[rows, columns] += fade
    return Image.fromarray((total / weight).round().astype(np.uint8))


def _tile_weights(height: int, width: int, overlap: int) -> npt.NDArray[np.float32]:
    """Return float32 (height, width, 1) weights that fall towards the border of a tile.

    They are never 0, because a border pixel may be covered by one tile only.
    """

    def along(length: int) -> npt.NDArray[np.float64]:
        from_border = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
        return np.minimum(from_border / overlap, 1.0)

    return (along(height)[:, None] * along(width)[None, :])[..., None].astype(np.float32)
