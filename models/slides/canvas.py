"""Define the canvas of a scene and the protocol that every drawn scene follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.slides.theme import Theme

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Canvas:
    """A canvas of ``width`` x ``height`` pixels, at least 320; ``language`` is a BCP 47 tag."""

    width: int
    height: int
    fps: float
    theme: Theme
    language: str = "en"


class SceneDrawing(Protocol):
    """A scene that is laid out and can draw the frame at any time.

    ``beats`` counts the elements that appear one after another (bullets, terms, nodes, steps, a
    curve, a quiz's choices and then its answer), at least 1. Elements that are visible from the
    start (headings, axes) are no beats.
    """

    @property
    def beats(self) -> int: ...

    def frame(self, t: float, seconds: float, beat_times: Sequence[float]) -> Frame:
        """Draw the frame at ``t`` seconds of a scene that lasts ``seconds``.

        ``beat_times`` holds the start of each beat in seconds: ``beats`` non-decreasing numbers.
        The result is read-only uint8 RGB of shape (height, width, 3). The same arguments give the
        same pixels. The method is thread-safe.
        """
        ...
