"""A camera over a still picture: which part of it is seen at every moment.

Moves begin and end at rest (a cubic ease), so that one may be held still at its end while the next
scene fades in, and nobody sees it stop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

Frame = np.ndarray[Any, Any]


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
        eased = moment * moment * (3 - 2 * moment)
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

    def __init__(self, image: Image.Image, picture: PictureGeometry, path: CropPath) -> None:

        self._picture, self._path = picture, path
        nearest = max(path.start.zoom, path.end.zoom)
        # One pixel of the picture for one of the film where the camera is nearest: fewer would be
        # interpolated coarsely, more would shimmer.
        scale = nearest * max(
            picture.film_width / picture.width, picture.film_height / picture.height
        )
        size = (math.ceil(picture.width * scale), math.ceil(picture.height * scale))
        ready = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        self._pixels: Frame = np.asarray(ready)

    def frame(self, moment: float) -> Frame:
        """What is seen at ``moment`` (0..1): uint8 RGB, film height x film width x 3."""
        return crop_view(self._pixels, self._picture, self._path.at(min(max(moment, 0.0), 1.0)))


def crop_view(pixels: Frame, picture: PictureGeometry, view: CropView) -> Frame:
    """``view`` of ``pixels``, a picture of the shape that ``picture`` says, at any size."""

    rows, columns = pixels.shape[:2]
    wide, high = picture.visible_size(view.zoom)
    scale_x = wide * columns / picture.film_width
    scale_y = high * rows / picture.film_height
    # Pixel centres lie at halves: without them the corner would drift as the camera moves.
    left = (view.x - wide / 2) * columns + (scale_x - 1) / 2
    top = (view.y - high / 2) * rows + (scale_y - 1) / 2
    matrix = np.array([[scale_x, 0, left], [0, scale_y, top]], dtype=np.float64)
    return cv2.warpAffine(
        pixels,
        matrix,
        (picture.film_width, picture.film_height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
