"""Upscale pictures by resampling, or in one pass of Swin2SR where the profile names it.

Swin2SR: https://arxiv.org/abs/2209.11345. It works on tiles of one size, so that a large picture
takes no more memory than a small one, and the time grows with the pixels alone. Tiles overlap and
are blended, so that no seam is visible.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter

from models.memory.loader import CapabilityModel
from models.memory.plans import MemoryPlan, execution_device
from models.profiles.load import Capability, Model, Profile
from models.vision.upscale_limits import FACTORS, UpscaleNotSupported
from models.weights.load import load_model

OnTile = Callable[[int, int], None]

_SWIN2SR = "Swin2SRForImageSuperResolution"
_LOADERS = ("lanczos", _SWIN2SR)
# Pixels of the small picture. 256 take 750 MB at float32; a side is a multiple of 64, which the
# network's windows of 8 divide.
_TILE, _OVERLAP, _GRID = 256, 32, 64


@dataclass(frozen=True)
class Upscaled:
    """The upscaled picture and the model's name."""

    image: Image.Image
    model: str


class Upscaler(CapabilityModel):
    """The upscaler of a profile, safe to call from several threads."""

    capability = Capability.UPSCALE
    # 46 MB of weights: holding them in parts would save nothing.
    plans = (MemoryPlan.RESIDENT,)

    def __init__(self, model: Model, network: Any = None) -> None:
        """Without ``network`` pictures are resampled.

        Raises:
            UpscaleNotSupported: the network does not enlarge by the largest of :data:`FACTORS`.
        """
        super().__init__(network)
        if network is not None and network.config.upscale != FACTORS[-1]:
            raise UpscaleNotSupported(
                f"{model.name} enlarges by {network.config.upscale}, not by {FACTORS[-1]}"
            )
        self._name = model.name
        self._lock = threading.Lock()  # two tiles at once would take twice the memory

    @classmethod
    def read(cls, profile: Profile) -> Upscaler:
        """The upscaler of ``profile``, its weights (if it has any) on the CPU.

        Raises:
            UpscaleNotSupported: the loader is that of no upscaler.
        """
        model = profile.model(Capability.UPSCALE)
        if model.loader not in _LOADERS:
            raise UpscaleNotSupported(
                f"{model.loader} is no upscaler; these are: {', '.join(_LOADERS)}"
            )
        return cls(model, None if model.is_built_in else load_model(model).eval())

    @classmethod
    def cache_key(cls, profile: Profile) -> str:
        return "upscaler"

    def upscale(
        self, image: Image.Image, factor: int, on_tile: OnTile = lambda number, total: None
    ) -> Upscaled:
        """Enlarge ``image`` by ``factor``; the result is RGB.

        ``on_tile(number, total)`` is called after each tile. An exception that it raises ends the
        upscaling.

        Raises:
            UpscaleNotSupported: a factor other than :data:`FACTORS`.
        """
        if factor not in FACTORS:
            offered = " or ".join(map(str, FACTORS))
            raise UpscaleNotSupported(f"{self._name} enlarges by {offered}, not by {factor}")
        image = image.convert("RGB")
        if self.network is None:
            return Upscaled(_resample(image, factor), self._name)
        boxes = list(tile_boxes(image.width, image.height, _TILE))

        def enlarge(number: int, tile: Image.Image) -> Image.Image:
            enlarged = self._enlarge_tile(tile, factor)
            on_tile(number + 1, len(boxes))
            return enlarged

        return Upscaled(blend_tiles(image, factor, boxes, enlarge), self._name)

    def _enlarge_tile(self, tile: Image.Image, factor: int) -> Image.Image:
        first = next(self.network.parameters())
        dtype = first.dtype if first.is_floating_point() else torch.float32
        pixels = torch.from_numpy(np.asarray(tile, np.float32) / 255).permute(2, 0, 1)[None]
        with self._lock, torch.inference_mode():
            large = self.network(
                pixel_values=pixels.to(execution_device(self.network), dtype)
            ).reconstruction[0]
            colors = (large.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu()
        enlarged = Image.fromarray(colors.numpy())
        size = (tile.width * factor, tile.height * factor)
        # The network has one factor, and a smaller one is half of what it made.
        return (
            enlarged if enlarged.size == size else enlarged.resize(size, Image.Resampling.LANCZOS)
        )


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
