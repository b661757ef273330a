"""A camera moving through a photo: near things pass by faster than far ones.

The photo is cut into layers by its depth (:mod:`models.parallax.layers`). For each frame every
layer is bent backwards, from the film to the photo: where a pixel came from depends on its depth
there, which two rounds of a fixed point find. Layers are laid over one another, the farthest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from models.media.encoding.threads import parallel_map
from models.parallax.camera_path import Camera
from models.parallax.layers import DEFAULT_EDGE_WIDTH, Layer, split_into_layers

Array = np.ndarray[Any, Any]


_FARTHEST = 0.25  # inverse distance of what is farthest; of the nearest it is 1
_FLAT = 0.01  # depth that differs by less needs no fixed point
_ROUNDS = 2


class InvalidDepth(ValueError):
    """The depth is not of the photo's size, or holds something else than 0..1."""


class ParallaxScene:
    """A photo made ready for a camera; safe to render from several threads.

    ``picture`` is uint8 RGB, height x width x 3; ``nearness`` float32, height x width, 0 farthest
    to 1 nearest. ``focus`` is the nearness of what stays where it is when the camera moves
    sideways. ``cameras`` are those that will be rendered: the picture is enlarged just so much that
    none of them sees beyond its edges. ``edge_width``: see
    :func:`models.parallax.layers.split_into_layers`; ``on_layer`` is called as each of its layers
    is made, and may raise to stop.

    Raises:
        InvalidDepth: see there.
    """

    def __init__(
        self,
        picture: Array,
        nearness: Array,
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

    def render(self, camera: Camera) -> Array:
        """One frame: uint8 RGB, of the photo's size."""

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
    ) -> Array:
        """A window of ``layer`` as ``camera`` sees it, in the layer's own form."""

        scale = 1 / (camera.zoom * self.overscan)
        columns = (np.arange(left, right, dtype=np.float32) - (self._width - 1) / 2) * scale
        rows = (np.arange(top, bottom, dtype=np.float32) - (self._height - 1) / 2) * scale

        def source(near: Any) -> tuple[Array, Array]:
            shrink = 1 - (_FARTHEST + (1 - _FARTHEST) * near) * camera.forward
            aside = (near - self.focus) * self._longer_side
            across = (columns[None] + aside * camera.right) * shrink + (self._width - 1) / 2
            along = (rows[:, None] - aside * camera.up) * shrink + (self._height - 1) / 2
            size = (bottom - top, right - left)
            return (
                np.broadcast_to(across, size).astype(np.float32),
                np.broadcast_to(along, size).astype(np.float32),
            )

        near: Any = np.float32((layer.nearest + layer.farthest) / 2)
        across, along = source(near)
        if layer.nearest - layer.farthest > _FLAT:
            for _ in range(_ROUNDS):
                near = cv2.remap(
                    layer.nearness, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )
                across, along = source(near)
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
        """What the frame can show of ``layer``: top, bottom, left, right."""
        vertical = (layer.top, layer.bottom, self._height, -camera.up)
        horizontal = (layer.left, layer.right, self._width, camera.right)
        window: list[int] = []
        for first, end, size, step in (vertical, horizontal):
            middle = (size - 1) / 2
            places = [
                self._project(place - middle, near, camera, step) + middle
                for place in (first, end - 1)
                for near in (layer.nearest, layer.farthest)
            ]
            # What touches the photo's edge goes on beyond it.
            low = 0 if first <= 1 else math.floor(min(places)) - 2
            high = size if end >= size - 1 else math.ceil(max(places)) + 3
            window += [min(max(low, 0), size), min(max(high, 0), size)]
        top, bottom, left, right = window
        return top, bottom, left, right

    def _project(self, place: float, nearness: float, camera: Camera, step: float) -> float:
        """Where a point of the photo (pixels from its middle) comes to lie in the frame."""
        shrink = 1 - (_FARTHEST + (1 - _FARTHEST) * nearness) * camera.forward
        moved = place / shrink - (nearness - self.focus) * self._longer_side * step
        return moved * camera.zoom * self.overscan

    def _required_overscan(self, camera: Camera) -> float:
        """By how much the photo must be enlarged so that this camera sees nothing beside it."""
        worst = 1.0
        for half, step in ((self._width / 2, camera.right), (self._height / 2, camera.up)):
            for near in (0.0, 1.0):
                shrink = 1 - (_FARTHEST + (1 - _FARTHEST) * near) * camera.forward
                room = half / shrink - abs((near - self.focus) * self._longer_side * step)
                worst = max(worst, half / (camera.zoom * max(room, half / 4)))
        return worst


def parallax_frames(scene: ParallaxScene, cameras: Sequence[Camera]) -> Iterator[Array]:
    """The frames in turn: uint8 RGB, height x width x 3."""
    return parallel_map(scene.render, cameras)
