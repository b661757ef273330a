"""The prompts of a story's pictures.

Most models are told in plain words: the framing, the shot, who is seen and how they look. A model
that knows only captions of one form is told in that form (:mod:`models.storyfilm.prompts.captions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.profiles.load import Capability, Profile


@dataclass(frozen=True)
class Role:
    """A character: ``description`` says how they look; ``has_picture`` that a picture of theirs does."""

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


def prompt_builder_for(profile: Profile) -> PromptBuilder:
    """How the picture model of ``profile`` is spoken to."""
    from models.storyfilm.prompts.captions import CaptionPromptBuilder

    name = profile.model(Capability.TEXT_TO_IMAGE).name
    return CaptionPromptBuilder() if name in _CAPTION_MODELS else PlainPromptBuilder()


_CAPTION_MODELS = ("atelier-tiny",)
_FRAMINGS = {"wide": "wide shot", "medium": "medium shot", "close": "close-up"}
_MAX_CHARACTERS = 600  # characters that are taken of a narration where nothing says what is shown


class PlainPromptBuilder:
    """For models that understand sentences."""

    def portrait_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[str]:
        return [
            _listed(
                f"portrait of {_describe(role)}",
                "one person, head and shoulders, facing the camera, plain background",
                style,
            )
            for role in roles
        ]

    def scene_prompts(
        self, roles: Sequence[Role], shots: Sequence[Shot], style: str
    ) -> list[Prompt]:
        known = {role.name: role for role in roles}
        prompts = []
        for shot in shots:
            seen = [known[name] for name in shot.people]
            looks = "; ".join(_introduce(role) for role in seen)
            shown = shot.text or shot.narration[:_MAX_CHARACTERS] or ", ".join(shot.people)
            text = _listed(_FRAMINGS[shot.framing], _ended(shown), looks, style)
            prompts.append(Prompt(text))
        return prompts

    def face_placement(self, framing: str) -> FacePlacement:
        return FacePlacement(face=(0.5, 0.35), zoom=1.0)


def _describe(role: Role) -> str:
    return _ended(role.description) or role.name


def _introduce(role: Role) -> str:
    looks = _ended(role.description)
    if not looks or role.name in looks:
        return looks or role.name
    return f"{role.name} is {looks}"


def _ended(text: str) -> str:
    return text.strip().rstrip(".,;:").strip()


def _listed(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
