"""How one scene takes over from the one before, and how a film begins and ends."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from models.media.camera.easing import smoothstep

Frame = np.ndarray[Any, Any]


TRANSITION_SECONDS: dict[str, float] = {
    "cut": 0.0,
    "crossfade": 0.7,
    "dip_to_black": 1.0,
    "dip_to_white": 1.0,
    "wipe": 0.8,
}
ENDING_SECONDS = 1.0  # of the last scene's way to black
_EDGE = 0.12  # of the frame's width: how soft the edge of a wipe is
_DIPS = {"dip_to_black": 0.0, "dip_to_white": 255.0}


def transition_frame(kind: str, before: Frame | None, frame: Frame, share: float) -> Frame:
    """The frame when ``share`` (0..1) of the transition is over.

    Without ``before`` the film begins: from black, or from white.

    Frames are uint8 RGB, height x width x 3, of one size.
    """

    if before is None:
        return blend(np.full_like(frame, _DIPS.get(kind, 0.0)), frame, _eased(share))
    if kind in _DIPS:
        ground = np.full_like(frame, _DIPS[kind])
        if share < 0.5:
            return blend(before, ground, _eased(2 * share))
        return blend(ground, frame, _eased(2 * share - 1))
    if kind == "wipe":
        across = np.linspace(0, 1, frame.shape[1], dtype=np.float32)[None, :, None]
        edge = _eased(share) * (1 + _EDGE) - _EDGE
        # 1 left of the edge, where the new scene is, falling to 0 over its width.
        new = np.clip((edge + _EDGE - across) / _EDGE, 0, 1)
        mixed = before + (frame.astype(np.float32) - before) * new
        return (mixed + 0.5).astype(np.uint8)
    return blend(before, frame, _eased(share))


def fade_out_frame(frame: Frame, share: float) -> Frame:
    """The frame when ``share`` of the way to black is over."""

    return blend(frame, np.zeros_like(frame), _eased(min(share, 1.0)))


def blend(one: Frame, other: Frame, share: float) -> Frame:
    """``one`` at 0, ``other`` at 1."""

    return cv2.addWeighted(one, 1 - share, other, share, 0)


def _eased(share: float) -> float:
    return smoothstep(min(max(share, 0.0), 1.0))
