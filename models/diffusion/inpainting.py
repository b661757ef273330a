"""Repainting part of a picture of any size with weights that draw only some sizes.

What is masked is cut out with some of its surroundings, brought to a size the weights draw,
painted, brought back and laid in through the mask: pixels outside the mask stay as they were, bit
for bit, and the picture keeps its resolution.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from models.diffusion.image_pipeline import ImagePipeline, required_capability
from models.diffusion.requests import DiffusionRequest, InvalidImages, OnStep
from models.diffusion.sizes import size_of_aspect

PixelBox = tuple[int, int, int, int]
CONTEXT_FRACTION = 0.5  # surroundings on each side, as a share of what is masked


@dataclass(frozen=True)
class Margins:
    """By how many pixels a picture grows on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


def inpaint_region(
    pipeline: ImagePipeline,
    request: DiffusionRequest,
    on_step: OnStep | None = None,
    frame: PixelBox | None = None,
) -> list[Image.Image]:
    """``request.image`` at its own size with what ``request.mask`` shows white painted anew.

    ``frame`` is what the weights must see beside the mask, such as the whole person; without it
    that is some of the surroundings. ``request.width`` and ``height`` are not looked at.

    Raises:
        InvalidImages: there is no picture or no mask, or the mask is empty.
    """

    if request.image is None or request.mask is None:
        raise InvalidImages("repainting needs a picture and a mask")
    image = request.image.convert("RGB")
    mask = request.mask.convert("L").resize(image.size, Image.Resampling.NEAREST)
    mask = mask.point(lambda value: 255 if value >= 128 else 0)
    found = mask.getbbox()
    if found is None:
        raise InvalidImages("the mask is empty: paint white what is to be drawn anew")
    around = CONTEXT_FRACTION
    if frame is not None:
        found, around = _bounding_box(found, frame), 0.02
    box = _expand_box(found, image.size, around)
    wide, high = box[2] - box[0], box[3] - box[1]
    width, height = size_of_aspect(pipeline.profile, required_capability(request), wide / high)
    part = replace(request, image=image.crop(box), mask=mask.crop(box), width=width, height=height)
    soft = _feather_mask(mask.crop(box))
    made = []
    for painted in pipeline.generate(part, on_step):
        whole = image.copy()
        back = painted.resize((wide, high), Image.Resampling.LANCZOS)
        whole.paste(back, box[:2], soft)
        made.append(whole)
    return made


def outpaint_steps(
    image: Image.Image, margins: Margins
) -> Generator[tuple[Image.Image, Image.Image], Image.Image, None]:
    """``image`` made larger step by step: each time the canvas so far and the mask of what is new.

    The caller paints and sends the painted canvas back. A step is at most half as long as the
    canvas is across, so that what is known is at least as large as what is made up.
    """

    for side in ("left", "right", "top", "bottom"):
        left = getattr(margins, side)
        while left > 0:
            across = image.height if side in ("left", "right") else image.width
            step = min(left, max(across // 2, 1))
            pad = {"left": ((0, 0), (step, 0)), "right": ((0, 0), (0, step)),
                   "top": ((step, 0), (0, 0)), "bottom": ((0, step), (0, 0))}[side]  # fmt: skip
            canvas = Image.fromarray(np.pad(np.asarray(image), (*pad, (0, 0)), mode="edge"))
            new = np.pad(np.zeros((image.height, image.width), np.uint8), pad, constant_values=255)
            image = yield canvas, Image.fromarray(new)
            left -= step


def _bounding_box(one: PixelBox, other: PixelBox) -> PixelBox:
    return (
        min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
    )  # fmt: skip


def _expand_box(found: PixelBox, size: tuple[int, int], around: float) -> PixelBox:
    """The box with its surroundings, as square as the picture allows."""
    left, top, right, bottom = found
    side = max(right - left, bottom - top) * (1 + 2 * around)
    spans = []
    for low, high, most in ((left, right, size[0]), (top, bottom, size[1])):
        length = min(round(max(side, high - low)), most)
        start = min(max(round((low + high - length) / 2), 0), most - length)
        spans.append((start, start + length))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _feather_mask(mask: Image.Image) -> Image.Image:
    """``mask`` fading towards its inside, so that no seam shows and nothing outside is touched."""

    inside = np.pad(np.asarray(mask), 1, mode="edge")  # the picture's own edge is no seam
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    reach = max(1.0, min(mask.size) / 64)
    return Image.fromarray((255 * np.clip(away / reach, 0, 1)).astype(np.uint8))
