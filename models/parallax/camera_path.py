"""Where a camera is at each frame of a short film: how time runs, and the ways it can take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.media.camera.easing import smoothstep

Easing = Literal["linear", "ease_in", "ease_out", "ease_in_out"]
CameraMotion = Literal["orbit", "arc", "dolly", "pan", "zoom"]

EASINGS: dict[Easing, Callable[[float], float]] = {
    "linear": lambda t: t,
    "ease_in": lambda t: t * t,
    "ease_out": lambda t: t * (2 - t),
    "ease_in_out": smoothstep,
}
# At full strength the nearest thing moves by this share of the longer side against the farthest.
MAX_PARALLAX = 0.09
_ORBIT_FLATNESS = 0.45  # how high an orbit is against its width
_DOLLY_GROWTH = 0.22  # of a dolly at full strength: by how much the nearest thing grows
_ARC = math.radians(50)  # half of the circle's part that an arc follows


class InvalidCameraPath(ValueError):
    """A film needs a frame, and a camera a strength of 0 to 1."""


@dataclass(frozen=True)
class Camera:
    """Where the camera stands, seen from where the photo was taken.

    ``right`` and ``up`` are parallax: by which share of the picture's longer side the nearest thing
    moves (the other way) against one at the focus; ``forward`` is the share of the way to the
    nearest thing; ``zoom`` enlarges all alike.
    """

    right: float = 0.0
    up: float = 0.0
    forward: float = 0.0
    zoom: float = 1.0


def path_progress(count: int, easing: Easing, *, loop: bool, closed: bool) -> list[float]:
    """How much of its way (0..1) the camera has gone at each of ``count`` frames.

    A looping film leads from its last frame into its first: a ``closed`` way ends where it began,
    so the frame that would be the first again is left out; an open one is gone there and back.
    Without ``loop`` the last frame shows the end of the way.

    Raises:
        InvalidCameraPath: there would be no frame.
    """
    if count < 1:
        raise InvalidCameraPath("this is too short for a single frame: ask for more seconds")
    last = count if loop else max(count - 1, 1)
    times = [number / last for number in range(count)]
    if loop and not closed:
        times = [1 - abs(1 - 2 * time) for time in times]
    return [EASINGS[easing](time) for time in times]


@dataclass(frozen=True)
class CameraPath:
    """A way through a photo. ``strength`` is 0 (still) to 1; ``reverse`` goes the other way.

    ``orbit`` circles around where the photo was taken; ``arc`` swings round it from left to right,
    farthest from it at both ends; ``pan`` goes straight from left to right; ``dolly`` goes in, and
    near things grow most; ``zoom`` goes in less and narrows the lens, so that all grows.
    """

    motion: CameraMotion = "orbit"
    strength: float = 0.5
    reverse: bool = False
    easing: Easing = "linear"
    loop: bool = True

    @property
    def is_closed(self) -> bool:
        """Whether the way ends where it began."""
        return self.motion == "orbit"

    def camera_positions(self, count: int) -> list[Camera]:
        """The camera at each of ``count`` frames.

        Raises:
            InvalidCameraPath: see there.
        """
        if not 0 <= self.strength <= 1:
            raise InvalidCameraPath(f"a strength of {self.strength} is outside 0 to 1")
        gone = path_progress(count, self.easing, loop=self.loop, closed=self.is_closed)
        return [self._at(1 - share if self.reverse else share) for share in gone]

    def _at(self, share: float) -> Camera:
        reach, growth = MAX_PARALLAX * self.strength / 2, _DOLLY_GROWTH * self.strength
        if self.motion == "orbit":
            angle = 2 * math.pi * share
            return Camera(
                right=reach * math.sin(angle), up=-_ORBIT_FLATNESS * reach * math.cos(angle)
            )
        if self.motion == "arc":
            angle = _ARC * (2 * share - 1)
            back = (math.cos(angle) - 1) / (1 - math.cos(_ARC))  # 0 in the middle, -1 at the ends
            return Camera(right=reach * math.sin(angle) / math.sin(_ARC), forward=growth / 3 * back)
        if self.motion == "pan":
            return Camera(right=reach * (2 * share - 1))
        if self.motion == "dolly":
            return Camera(forward=growth * share)
        return Camera(forward=growth / 3 * share, zoom=1 + growth * share)
