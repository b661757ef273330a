"""Where scenes are drawn: the frame's size and look, and the way from a scene to its frames."""

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
    """``width`` and ``height`` in pixels, at least 320; ``language`` is a BCP 47 tag."""

    width: int
    height: int
    fps: float
    theme: Theme
    language: str = "en"


class SceneDrawing(Protocol):
    """A scene laid out and ready to be drawn at any moment of it.

    ``beats`` is how many things appear one after another (bullets, terms, nodes, steps, a curve, a
    quiz's choices and then its answer); 1 at least. What is there from the start (headings, axes)
    is no beat.
    """

    @property
    def beats(self) -> int: ...

    def frame(self, t: float, seconds: float, beat_times: Sequence[float]) -> Frame:
        """The frame at ``t`` of a scene of ``seconds``: uint8 RGB, height x width x 3, read-only.

        ``beat_times`` says when each beat begins: ``beats`` numbers that never fall, in seconds.
        The same arguments give the same pixels; may be called from several threads.
        """
        ...
