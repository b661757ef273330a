"""How two boxes of a drawing lie to each other, with ``slack`` in pixels."""

from __future__ import annotations

from models.slides.layout import Box


def inside(box: Box, frame: Box, slack: float = 0.5) -> bool:
    """Whether ``box`` reaches out of ``frame`` by no more than ``slack``."""
    return (
        box.x >= frame.x - slack
        and box.y >= frame.y - slack
        and box.right <= frame.right + slack
        and box.bottom <= frame.bottom + slack
    )


def overlap(a: Box, b: Box, slack: float = 0.5) -> bool:
    """Whether the boxes share more than ``slack`` on both axes."""
    return (
        a.x < b.right - slack
        and b.x < a.right - slack
        and a.y < b.bottom - slack
        and b.y < a.bottom - slack
    )
