"""Define the prompts of a story's images.

Most models take plain sentences: the framing, the shot, the visible characters and their
appearance. A model trained on captions of one form gets that form
(:mod:`models.storyfilm.prompts.captions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Role:
    """A character: ``description`` is the appearance; ``has_picture`` tells that a reference image
    exists.
    """

    name: str
    description: str
    has_picture: bool = False


@dataclass(frozen=True)
class Shot:
    """One image: ``text`` describes it, ``people`` lists the visible characters, the main one
    first.
    """

    text: str
    narration: str
    framing: str
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A prompt. ``strength`` weighs the main character's image against the text (``None``:
    default).
    """

    text: str
    strength: float | None = None


@dataclass(frozen=True)
class FacePlacement:
    """The position of the main figure's face (0..1 of the image), and the zoom for each framing.

    The camera needs the zoom where the image itself does not show the framing.
    """

    face: tuple[float, float]
    zoom: float


class PromptBuilder(Protocol):
    """Build prompts for one kind of model."""

    def portrait_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[str]:
        """Build one portrait prompt per role; the portrait is the reference for later images."""
        ...

    def scene_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[Prompt]:
        """Build one prompt per shot, in order."""
        ...

    def face_placement(self, framing: str) -> FacePlacement:
        """Return where the camera finds the main figure in images of this framing."""
        ...
