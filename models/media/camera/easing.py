"""How a movement begins and ends."""

from __future__ import annotations


def smoothstep(share: float) -> float:
    """``share`` of a way, 0..1, for a moment of 0..1: at rest at both ends (3t² - 2t³)."""
    return share * share * (3 - 2 * share)
