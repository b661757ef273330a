"""Inpaint and outpaint pictures of any size with weights that support only some sizes.

The masked region is cropped with some of its surroundings, resized to a supported size, inpainted,
resized back and pasted through the mask. Pixels outside the mask stay identical, and the picture
keeps its resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from models.diffusion.requests import DiffusionRequest, InvalidImages, PicturesBlocked
from models.diffusion.resolve import required_capability
from models.diffusion.sizes import size_of_aspect
from models.profiles.load import Profile

PixelBox = tuple[int, int, int, int]
CONTEXT_FRACTION = 0.5  # surroundings on each side, as a share of what is masked


@dataclass(frozen=True)
class Margins:
    """The number of pixels added to each side of a picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


def inpaint_region(
    profile: Profile,
    draw: Callable[[DiffusionRequest], list[Image.Image]],
    request: DiffusionRequest,
    frame: PixelBox | None = None,
) -> list[Image.Image]:
    """Inpaint ``request.image`` where ``request.mask`` is white, at the picture's own size.

    ``frame`` is a box (left, top, right, bottom) in pixels that the weights must see as well, such
    as the whole person; the default is some surroundings of the mask. ``draw`` draws the crop.
    ``request.width`` and ``request.height`` are ignored. The pictures returned are RGB.

    Raises:
        InvalidImages: the picture or the mask is missing, or the mask is empty.
        PicturesBlocked: a safety checker blanked pictures; it has the others.
    """

    if request.image is None or request.mask is None:
        raise InvalidImages("repainting needs a picture and a mask")
    image = request.image.convert("RGB")
    mask = request.mask.convert("L").resize(image.size, Image.Resampling.NEAREST)
    mask = mask.point(lambda value: 255 if value >= 128 else 0)
    mask_box = mask.getbbox()
    if mask_box is None:
        raise InvalidImages("the mask is empty: paint white what is to be drawn anew")
    context = CONTEXT_FRACTION
    if frame is not None:
        mask_box, context = _bounding_box(mask_box, frame), 0.02
    box = _expand_box(mask_box, image.size, context)
    box_width, box_height = box[2] - box[0], box[3] - box[1]
    width, height = size_of_aspect(profile, required_capability(request), box_width / box_height)
    part = replace(request, image=image.crop(box), mask=mask.crop(box), width=width, height=height)
    feathered = _feather_mask(mask.crop(box))

    def paste(painted: Image.Image) -> Image.Image:
        whole = image.copy()
        patch = painted.resize((box_width, box_height), Image.Resampling.LANCZOS)
        whole.paste(patch, box[:2], feathered)
        return whole

    try:
        return [paste(painted) for painted in draw(part)]
    except PicturesBlocked as blocked:
        others = {index: paste(painted) for index, painted in blocked.pictures.items()}
        raise PicturesBlocked(others) from blocked


def outpaint_steps(
    image: Image.Image, margins: Margins
) -> Generator[tuple[Image.Image, Image.Image], Image.Image, None]:
    """Extend ``image`` step by step; yield the padded canvas and the mask of its new pixels.

    The caller inpaints the canvas and sends it back; the generator returns the finished picture. A
    step is at most half of the canvas' other side, so that the weights always see more known
    pixels than new ones. The mask is 8-bit gray, 255 where a pixel is new.
    """

    for side in ("left", "right", "top", "bottom"):
        remaining = getattr(margins, side)
        while remaining > 0:
            across = image.height if side in ("left", "right") else image.width
            step = min(remaining, max(across // 2, 1))
            pad = {"left": ((0, 0), (step, 0)), "right": ((0, 0), (0, step)),
                   "top": ((step, 0), (0, 0)), "bottom": ((0, step), (0, 0))}[side]  # fmt: skip
            canvas = Image.fromarray(np.pad(np.asarray(image), (*pad, (0, 0)), mode="edge"))
            mask = np.pad(np.zeros((image.height, image.width), np.uint8), pad, constant_values=255)
            image = yield canvas, Image.fromarray(mask)
            remaining -= step


def _bounding_box(first: PixelBox, second: PixelBox) -> PixelBox:
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def _expand_box(box: PixelBox, size: tuple[int, int], context: float) -> PixelBox:
    """Add the surroundings to a box, and make it as square as the picture allows."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top) * (1 + 2 * context)
    spans = []
    for low, high, max_length in ((left, right, size[0]), (top, bottom, size[1])):
        length = min(round(max(side, high - low)), max_length)
        start = min(max(round((low + high - length) / 2), 0), max_length - length)
        spans.append((start, start + length))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _feather_mask(mask: Image.Image) -> Image.Image:
    """Fade ``mask`` towards its inside, so that no seam shows and no outer pixel changes."""

    inside = np.pad(np.asarray(mask), 1, mode="edge")  # the picture's own edge has no seam
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    reach = max(1.0, min(mask.size) / 64)
    return Image.fromarray((255 * np.clip(distance / reach, 0, 1)).astype(np.uint8))
