"""A camera that moves gently over still pictures, as known from documentaries (Ken Burns).

A slideshow shows several, each a while, one fading to the next. A crop path is one move over one
picture: it begins and ends at rest, so that it may be held still at its end while the next scene
fades in. Moves are computed to fractions of a pixel; whole pixels would be seen to jump.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import cv2
import numpy as np
from PIL.Image import Image, Resampling

from models.media.camera.easing import smoothstep

Pixels = np.ndarray[Any, Any]


MAX_ZOOM = 1.12  # how far the camera goes in
FADE_SECONDS = 0.5


class InvalidSlideshow(ValueError):
    """There is no picture, or fewer frames than pictures."""


@dataclass(frozen=True)
class SlideshowSpec:
    """``frames`` of ``width`` x ``height`` at ``fps``, shared out evenly between the pictures."""

    width: int
    height: int
    fps: int
    frames: int


def slideshow_frames(pictures: Sequence[Image], spec: SlideshowSpec) -> Iterator[Pixels]:
    """Every frame in turn: uint8 RGB, height x width x 3.

    A picture fills the frame: of one with another aspect the sides are cut, or the lower part more
    than the upper.

    Raises:
        InvalidSlideshow: see there.
    """

    count = len(pictures)
    if not 1 <= count <= spec.frames:
        raise InvalidSlideshow(f"{count} pictures do not make {spec.frames} frames")
    starts = [round(spec.frames * i / count) for i in range(count + 1)]
    shortest = min(b - a for a, b in pairwise(starts))
    fade = min(round(FADE_SECONDS * spec.fps), shortest // 2)
    cameras = [_Camera(picture, spec, i) for i, picture in enumerate(pictures)]
    for i, (first, end) in enumerate(pairwise(starts)):
        length = end - first + fade  # its move goes on while the next one appears
        for number in range(end - first):
            frame = cameras[i].at(number / length)
            if i and number < fade:
                before = starts[i] - starts[i - 1]
                gone = cameras[i - 1].at((before + number) / (before + fade))
                share = (number + 1) / (fade + 1)
                frame = gone + (frame - gone) * np.float32(share)
            yield np.clip(frame + 0.5, 0, 255).astype(np.uint8)


class _Camera:
    """Looks at one picture; even ones it goes towards, odd ones it leaves."""

    def __init__(self, picture: Image, stills: SlideshowSpec, number: int) -> None:

        self._size = (stills.width, stills.height)
        self._inwards = number % 2 == 0
        wide, high = picture.size
        shown = min(wide / stills.width, high / stills.height)
        # Less than a pixel of the picture for one of the film would shimmer: shrink it before.
        shrink = max(1.0, shown / MAX_ZOOM)
        if shrink > 1:
            picture = picture.resize((math.ceil(wide / shrink), math.ceil(high / shrink)))
        self._pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)

    def at(self, moment: float) -> Pixels:
        """The float32 frame at ``moment`` (0..1) of the move."""

        eased = smoothstep(moment)
        zoom = MAX_ZOOM ** (eased if self._inwards else 1 - eased)
        high, wide = self._pixels.shape[:2]
        width, height = self._size
        scale = min(wide / width, high / height) / zoom
        left = (wide - width * scale) / 2
        top = (high - height * scale) / 8  # heads are above
        return _crop(self._pixels, (left, top), (scale, scale), self._size, cv2.INTER_CUBIC)


KenBurnsMove = Literal[
    "zoom_in", "zoom_out", "pan_left", "pan_right", "tilt_up", "tilt_down", "still"
]

ZOOM = 1.16  # between the ends of a zoom
PAN_ZOOM = 1.14  # a picture with nothing over on the sides is enlarged so much to be panned over
MAX_SPEED = 0.07  # shares of the picture's height or width that the camera may cross in a second
_FACE_HEIGHT = 0.42  # of what is seen lies above a face's middle: as portraits are framed


@dataclass(frozen=True)
class CropView:
    """What the camera looks at: the centre (0..1 of the picture) and how near, 1 or more."""

    x: float
    y: float
    zoom: float


@dataclass(frozen=True)
class CropPath:
    """From one view to another in ``seconds``."""

    start: CropView
    end: CropView

    def at(self, moment: float) -> CropView:
        """The view at ``moment``, 0 to 1."""
        eased = smoothstep(moment)
        # Zooms are even where their logarithm is.
        zoom = self.start.zoom * (self.end.zoom / self.start.zoom) ** eased
        return CropView(
            self.start.x + (self.end.x - self.start.x) * eased,
            self.start.y + (self.end.y - self.start.y) * eased,
            zoom,
        )


@dataclass(frozen=True)
class PictureGeometry:
    """A picture's and a film's shape, and where in the picture its subject's face is (0..1).

    ``zoom`` is how near a camera has to be where the picture does not show the framing itself.
    """

    width: int
    height: int
    film_width: int
    film_height: int
    face: tuple[float, float] = (0.5, 0.35)
    zoom: float = 1.0

    def visible_size(self, zoom: float) -> tuple[float, float]:
        """Width and height of what is seen, as shares of the picture's."""
        scale = min(self.width / self.film_width, self.height / self.film_height) / zoom
        return self.film_width * scale / self.width, self.film_height * scale / self.height

    def clamp_view(self, view: CropView) -> CropView:
        """``view`` moved so that nothing beyond the picture is seen."""
        wide, high = self.visible_size(view.zoom)
        return CropView(
            min(max(view.x, wide / 2), 1 - wide / 2),
            min(max(view.y, high / 2), 1 - high / 2),
            view.zoom,
        )


def default_move(picture: PictureGeometry, framing: str, number: int) -> KenBurnsMove:
    """What suits scene ``number``: a wide picture of which the film holds a part is travelled
    over; the others are drawn near to, left, or passed by in turn."""
    if framing == "wide" and picture.visible_size(picture.zoom)[0] < 0.75:
        return "pan_right" if number % 2 else "pan_left"
    if framing == "wide":
        return "zoom_in" if number % 2 else "zoom_out"
    if framing == "close":
        return "zoom_in"
    return ("zoom_in", "pan_right", "zoom_out", "pan_left")[number % 4]


def plan_crop_path(picture: PictureGeometry, move: KenBurnsMove, seconds: float) -> CropPath:
    """The way of ``move`` over ``picture``, no faster than the eye likes to follow."""
    zoom = max(picture.zoom, 1.0)
    x, face = picture.face
    if move in ("still", "zoom_in", "zoom_out"):
        near = zoom if move == "still" else zoom * ZOOM
        far_view = picture.clamp_view(CropView(x, _center_below_face(picture, face, zoom), zoom))
        near_view = picture.clamp_view(CropView(x, _center_below_face(picture, face, near), near))
        return (
            CropPath(near_view, far_view) if move == "zoom_out" else CropPath(far_view, near_view)
        )
    across = 0 if move.startswith("pan") else 1
    if picture.visible_size(zoom)[across] > 1 / PAN_ZOOM:
        zoom *= PAN_ZOOM
    size = picture.visible_size(zoom)[across]
    way = min(1 - size, MAX_SPEED * seconds)
    y = _center_below_face(picture, face, zoom)
    if across == 0:
        left = min(max(x - way / 2, size / 2), 1 - size / 2 - way)
        views = CropView(left, y, zoom), CropView(left + way, y, zoom)
        first, last = views if move == "pan_right" else reversed(views)
    else:
        # A tilt begins or ends with the face, never with the shoes for long.
        top = min(max(y, size / 2), 1 - size / 2 - min(way, 1 - size))
        views = CropView(x, top, zoom), CropView(x, top + way, zoom)
        first, last = views if move == "tilt_down" else reversed(views)
    return CropPath(picture.clamp_view(first), picture.clamp_view(last))


def _center_below_face(picture: PictureGeometry, face: float, zoom: float) -> float:
    """The centre of a view in which the face is above the middle."""
    return face + picture.visible_size(zoom)[1] * (0.5 - _FACE_HEIGHT)


class StillCamera:
    """A picture ready to be looked at along a path."""

    def __init__(self, image: Image, picture: PictureGeometry, path: CropPath) -> None:

        self._picture, self._path = picture, path
        nearest = max(path.start.zoom, path.end.zoom)
        # One pixel of the picture for one of the film where the camera is nearest: fewer would be
        # interpolated coarsely, more would shimmer.
        scale = nearest * max(
            picture.film_width / picture.width, picture.film_height / picture.height
        )
        size = (math.ceil(picture.width * scale), math.ceil(picture.height * scale))
        ready = image.convert("RGB").resize(size, Resampling.LANCZOS)
        self._pixels: Pixels = np.asarray(ready)

    def frame(self, moment: float) -> Pixels:
        """What is seen at ``moment`` (0..1): uint8 RGB, film height x film width x 3."""
        return crop_view(self._pixels, self._picture, self._path.at(min(max(moment, 0.0), 1.0)))


def crop_view(pixels: Pixels, picture: PictureGeometry, view: CropView) -> Pixels:
    """``view`` of ``pixels``, a picture of the shape that ``picture`` says, at any size."""

    rows, columns = pixels.shape[:2]
    wide, high = picture.visible_size(view.zoom)
    scale_x = wide * columns / picture.film_width
    scale_y = high * rows / picture.film_height
    corner = (view.x - wide / 2) * columns, (view.y - high / 2) * rows
    size = picture.film_width, picture.film_height
    return _crop(pixels, corner, (scale_x, scale_y), size, cv2.INTER_LINEAR)


def _crop(
    pixels: Pixels,
    corner: tuple[float, float],
    scale: tuple[float, float],
    size: tuple[int, int],
    interpolation: int,
) -> Pixels:
    """Width x height ``size`` of ``pixels`` (height x width x 3) from ``corner`` (x, y) on, where
    a pixel of the result is ``scale`` (x, y) pixels wide and high; its type stays."""
    # Pixel centres lie at halves: without them the corner would drift as the camera moves.
    left, top = corner[0] + (scale[0] - 1) / 2, corner[1] + (scale[1] - 1) / 2
    matrix = np.array([[scale[0], 0, left], [0, scale[1], top]], dtype=np.float64)
    return cv2.warpAffine(
        pixels,
        matrix,
        size,
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
