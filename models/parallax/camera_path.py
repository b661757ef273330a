"""Camera paths for short clips: the camera position at each frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from models.media.camera.easing import Easing, InvalidCameraPath, path_progress

CameraMotion = Literal["orbit", "arc", "dolly", "pan", "zoom"]

# At full strength the nearest object moves by this fraction of the longer side against the
# farthest.
MAX_PARALLAX = 0.09
_ORBIT_FLATNESS = 0.45  # how high an orbit is against its width
_DOLLY_GROWTH = 0.22  # of a dolly at full strength: by how much the nearest object grows
_ARC = math.radians(50)  # half of the circle's part that an arc follows


@dataclass(frozen=True)
class Camera:
    """The camera position relative to where the photo was taken.

    ``right`` and ``up`` are parallax: the fraction of the picture's longer side by which the
    nearest object moves, in the opposite direction, against an object at the focus. ``forward`` is
    the fraction of the distance to the nearest object. ``zoom`` is a factor on the whole picture.
    """

    right: float = 0.0
    up: float = 0.0
    forward: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True)
class CameraPath:
    """A camera path through a photo. ``strength`` is 0 (still) to 1; ``reverse`` runs it backwards.

    ``orbit`` circles around the photo's viewpoint. ``arc`` swings around it from left to right and
    is farthest away at both ends. ``pan`` moves straight from left to right. ``dolly`` moves
    forward, so near objects grow most. ``zoom`` moves forward less and narrows the lens, so that
    everything grows.
    """

    motion: CameraMotion = "orbit"
    strength: float = 0.5
    reverse: bool = False
    easing: Easing = "linear"
    loop: bool = True

    @property
    def is_closed(self) -> bool:
        """Whether the path ends where it began."""
        return self.motion == "orbit"

    def camera_positions(self, count: int) -> list[Camera]:
        """Return the camera at each of ``count`` frames.

        Raises:
            InvalidCameraPath: ``count`` is less than 1, or the strength lies outside 0 to 1.
        """
        if not 0 <= self.strength <= 1:
            raise InvalidCameraPath(f"a strength of {self.strength} is outside 0 to 1")
        progress = path_progress(count, self.easing, loop=self.loop, closed=self.is_closed)
        return [self._at(1 - fraction if self.reverse else fraction) for fraction in progress]

    def _at(self, progress: float) -> Camera:
        reach, growth = MAX_PARALLAX * self.strength / 2, _DOLLY_GROWTH * self.strength
        if self.motion == "orbit":
            angle = 2 * math.pi * progress
            return Camera(
                right=reach * math.sin(angle), up=-_ORBIT_FLATNESS * reach * math.cos(angle)
            )
        if self.motion == "arc":
            angle = _ARC * (2 * progress - 1)
            back = (math.cos(angle) - 1) / (1 - math.cos(_ARC))  # 0 in the middle, -1 at the ends
            return Camera(right=reach * math.sin(angle) / math.sin(_ARC), forward=growth / 3 * back)
        if self.motion == "pan":
            return Camera(right=reach * (2 * progress - 1))
        if self.motion == "dolly":
            return Camera(forward=growth * progress)
        return Camera(forward=growth / 3 * progress, zoom=1 + growth * progress)
