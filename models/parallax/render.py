"""Render a camera move through a photo, with near objects moving faster than far ones.

:mod:`models.parallax.layers` splits the photo by its depth. Each frame warps every layer backwards,
from the frame to the photo. The source of a pixel depends on the depth at that source, which two
rounds of a fixed-point iteration find. The layers are composited from the farthest to the nearest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.media.encoding.threads import parallel_map
from models.parallax.camera_path import Camera
from models.parallax.layers import DEFAULT_EDGE_WIDTH, Layer, split_into_layers

RgbImage = npt.NDArray[np.uint8]  # (height, width, 3)
FloatArray = npt.NDArray[np.float32]

_FARTHEST = 0.25  # inverse distance of the farthest point; that of the nearest is 1
_FLAT = 0.01  # depth that differs by less needs no fixed point
_ROUNDS = 2


class InvalidDepth(ValueError):
    """The depth map differs from the photo in size, or has values outside 0..1."""


class ParallaxScene:
    """A photo split into layers, ready to render; several threads may call :meth:`render`.

    ``picture`` is uint8 RGB (height, width, 3). ``nearness`` is float32 (height, width), 0 farthest
    to 1 nearest. ``focus`` is the nearness of the points that stay in place when the camera moves
    sideways. ``cameras`` are the cameras to be rendered: the picture is enlarged just enough that
    none of them sees beyond its edges. ``edge_width``: see
    :func:`models.parallax.layers.split_into_layers`. ``on_layer`` is called after each layer and
    may raise to stop.

    Raises:
        InvalidDepth: the depth map differs in size, or has values outside 0..1.
    """

    def __init__(
        self,
        picture: RgbImage,
        nearness: FloatArray,
        cameras: Sequence[Camera],
        focus: float = 0.0,
        edge_width: int = DEFAULT_EDGE_WIDTH,
        on_layer: Callable[[], None] = lambda: None,
    ) -> None:
        if nearness.shape != picture.shape[:2]:
            raise InvalidDepth(f"the depth is {nearness.shape}, the photo {picture.shape[:2]}")
        if not (nearness.min() >= 0 and nearness.max() <= 1):
            raise InvalidDepth("nearness must lie in 0..1")
        self.layers: list[Layer] = []
        for layer in split_into_layers(picture, nearness, edge_width=edge_width):
            self.layers.append(layer)
            on_layer()
        self.focus = focus
        self._height, self._width = nearness.shape
        self._longer_side = max(nearness.shape)
        self.overscan = max((self._required_overscan(camera) for camera in cameras), default=1.0)

    def render(self, camera: Camera) -> RgbImage:
        """Render one frame: uint8 RGB (height, width, 3), the size of the photo."""

        frame = np.zeros((self._height, self._width, 3), np.float32)
        for layer in self.layers:
            top, bottom, left, right = self._visible_window(layer, camera)
            if top >= bottom or left >= right:
                continue
            part = frame[top:bottom, left:right]
            paint = self._warp(layer, camera, top, bottom, left, right)
            part *= 1 - paint[..., 3:]
            part += paint[..., :3]
        return np.clip(frame + 0.5, 0, 255).astype(np.uint8)

    def _warp(
        self, layer: Layer, camera: Camera, top: int, bottom: int, left: int, right: int
    ) -> FloatArray:
        """Warp a window of ``layer`` into the frame, as premultiplied RGBA (see :class:`Layer`)."""

        scale = 1 / (camera.zoom * self.overscan)
        columns = (np.arange(left, right, dtype=np.float32) - (self._width - 1) / 2) * scale
        rows = (np.arange(top, bottom, dtype=np.float32) - (self._height - 1) / 2) * scale

        def source(nearness: Any) -> tuple[FloatArray, FloatArray]:
            shrink = 1 - (_FARTHEST + (1 - _FARTHEST) * nearness) * camera.forward
            aside = (nearness - self.focus) * self._longer_side
            across = (columns[None] + aside * camera.right) * shrink + (self._width - 1) / 2
            along = (rows[:, None] - aside * camera.up) * shrink + (self._height - 1) / 2
            size = (bottom - top, right - left)
            return (
                np.broadcast_to(across, size).astype(np.float32),
                np.broadcast_to(along, size).astype(np.float32),
            )

        nearness: Any = np.float32((layer.nearest + layer.farthest) / 2)
        across, along = source(nearness)
        if layer.nearest - layer.farthest > _FLAT:
            for _ in range(_ROUNDS):
                nearness = cv2.remap(
                    layer.nearness, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )
                across, along = source(nearness)
        return np.asarray(
            cv2.remap(
                layer.premultiplied_rgba,
                across,
                along,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )

    def _visible_window(self, layer: Layer, camera: Camera) -> tuple[int, int, int, int]:
        """Return the frame window that ``layer`` can reach: top, bottom, left, right."""
        vertical = (layer.top, layer.bottom, self._height, -camera.up)
        horizontal = (layer.left, layer.right, self._width, camera.right)
        window: list[int] = []
        for first, end, size, step in (vertical, horizontal):
            middle = (size - 1) / 2
            places = [
                self._project(place - middle, nearness, camera, step) + middle
                for place in (first, end - 1)
                for nearness in (layer.nearest, layer.farthest)
            ]
            # A layer that touches the edge of the photo is extended beyond it.
            low = 0 if first <= 1 else math.floor(min(places)) - 2
            high = size if end >= size - 1 else math.ceil(max(places)) + 3
            window += [min(max(low, 0), size), min(max(high, 0), size)]
        top, bottom, left, right = window
        return top, bottom, left, right

    def _project(self, place: float, nearness: float, camera: Camera, step: float) -> float:
        """Project a photo coordinate (pixels from the center) into the frame."""
        shrink = 1 - (_FARTHEST + (1 - _FARTHEST) * nearness) * camera.forward
        moved = place / shrink - (nearness - self.focus) * self._longer_side * step
        return moved * camera.zoom * self.overscan

    def _required_overscan(self, camera: Camera) -> float:
        """Return the factor by which the photo must be enlarged to fill this camera's view."""
        worst = 1.0
        for half, step in ((self._width / 2, camera.right), (self._height / 2, camera.up)):
            for nearness in (0.0, 1.0):
                shrink = 1 - (_FARTHEST + (1 - _FARTHEST) * nearness) * camera.forward
                room = half / shrink - abs((nearness - self.focus) * self._longer_side * step)
                worst = max(worst, half / (camera.zoom * max(room, half / 4)))
        return worst


def parallax_frames(scene: ParallaxScene, cameras: Sequence[Camera]) -> Iterator[RgbImage]:
    """Yield one frame a camera: uint8 RGB (height, width, 3)."""
    return parallel_map(scene.render, cameras)
