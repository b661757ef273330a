"""The prompts of a story's pictures.

Most models are told in plain words: the framing, the shot, who is seen and how they look. A model
that knows only captions of one form is told in that form
(:mod:`models.storyfilm.prompts.captions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Role:
    """A character: ``description`` says how they look; ``has_picture`` that a picture of theirs
    does.
    """

    name: str
    description: str
    has_picture: bool = False


@dataclass(frozen=True)
class Shot:
    """One picture: ``text`` says what it shows, ``people`` who is seen, the main one first."""

    text: str
    narration: str
    framing: str
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """``strength`` is how much the main character's picture counts against the words, ``None`` the
    model's usual."""

    text: str
    strength: float | None = None


@dataclass(frozen=True)
class FacePlacement:
    """Where the face of the main figure is (0..1 of the picture), and how near the camera has to go
    where the picture does not show the framing by itself."""

    face: tuple[float, float]
    zoom: float


class PromptBuilder(Protocol):
    """How one kind of model is spoken to."""

    def portrait_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[str]:
        """For each role a prompt of a picture from which it is known again."""
        ...

    def scene_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[Prompt]:
        """A prompt for each shot, in their order."""
        ...

    def face_placement(self, framing: str) -> FacePlacement:
        """Where in such pictures the camera finds the main figure."""
        ...
