"""How a movement begins and ends, and how far along its path a camera is at each frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Easing = Literal["linear", "ease_in", "ease_out", "ease_in_out"]


def smoothstep(time: float) -> float:
    """The way covered, 0..1, at ``time`` of 0..1: at rest at both ends (3t² - 2t³)."""
    return time * time * (3 - 2 * time)


EASINGS: dict[Easing, Callable[[float], float]] = {
    "linear": lambda t: t,
    "ease_in": lambda t: t * t,
    "ease_out": lambda t: t * (2 - t),
    "ease_in_out": smoothstep,
}


class InvalidCameraPath(ValueError):
    """The path has no frame, or its strength lies outside 0 to 1."""


def path_progress(count: int, easing: Easing, *, loop: bool, closed: bool) -> list[float]:
    """Return the camera's progress along its path, 0..1, at each of ``count`` frames.

    With ``loop`` the last frame leads into the first: a ``closed`` path ends where it began, so
    its last frame, a copy of the first, is left out; an open path runs forward and back. Without
    ``loop`` the last frame shows the end of the path.

    Raises:
        InvalidCameraPath: ``count`` is less than 1.
    """
    if count < 1:
        raise InvalidCameraPath("this is too short for a single frame: ask for more seconds")
    last = count if loop else max(count - 1, 1)
    times = [number / last for number in range(count)]
    if loop and not closed:
        times = [1 - abs(1 - 2 * time) for time in times]
    return [EASINGS[easing](time) for time in times]
