"""A story as scenes: what is said, who is seen, how the camera goes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from deployments.generators.common.fields import Part
from deployments.references import ImageInput, PersonaId

Framing = Literal["wide", "medium", "close"]
Move = Literal["zoom_in", "zoom_out", "pan_left", "pan_right", "tilt_up", "tilt_down", "still"]
Transition = Literal["cut", "crossfade", "dip_to_black", "dip_to_white", "wipe"]

MAX_SCENES = 24
MAX_CHARACTERS = 12
MAX_NARRATION = 20_000  # characters of all scenes, white space not counted
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class Character(Part):
    """Somebody who is to look the same wherever the story shows them."""

    name: Title = Field(description="What scenes call the character.", examples=["Mira"])
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = Field(
        default="",
        description="The looks in words: who it is, skin, hair, clothes. With neither persona_id"
        " nor reference, the character is drawn once from them, and every scene from that picture.",
        examples=["a woman with pale skin and red hair in a blue shirt"],
    )
    persona_id: PersonaId | None = Field(
        default=None, description="A persona of yours who plays the character.", examples=[None]
    )
    reference: ImageInput | None = Field(
        default=None,
        description="A picture of who plays the character, instead of a persona.",
        examples=[None],
    )
    consent: Literal[True] | None = Field(
        default=None,
        description="With reference: true says that whoever is on it agreed to this use.",
        examples=[None],
    )

    @model_validator(mode="after")
    def _one_face(self) -> Self:
        if self.persona_id is not None and self.reference is not None:
            raise story_error(f"Character {self.name!r}: give persona_id or reference, not both")
        if self.reference is not None and self.consent is not True:
            raise story_error(
                f"Character {self.name!r}: a reference needs consent: true, the word that whoever"
                " is on it agreed"
            )
        return self


class Scene(Part):
    """One picture, under a moving camera, while a voice tells what happens."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)] = Field(
        default="",
        description="The scene's chapter; without one it belongs to the chapter before.",
        examples=["The lighthouse"],
    )
    narration: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = Field(
        default="",
        description="What the voice says.",
        examples=["Every evening Mira lit the lamp."],
    )
    characters: Annotated[tuple[Title, ...], Field(max_length=6)] = Field(
        default=(),
        description="Names of the storyboard's characters who are seen. The first is drawn from"
        " their picture; the others are named to the model, which takes one picture only.",
        examples=[["Mira"]],
    )
    shot: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = Field(
        default="",
        description="What the picture shows: who does what, and where.",
        examples=["Mira at the beach, looking out over the sea"],
    )
    framing: Framing = Field(
        default="medium", description="How near the camera is.", examples=["wide"]
    )
    motion: Move | None = Field(
        default=None,
        description="How the camera moves. Left out: what suits the framing and the picture.",
        examples=["zoom_in"],
    )
    transition: Transition = Field(
        default="crossfade",
        description="How the scene takes over from the one before; the first of a film from black,"
        " unless it is cut.",
        examples=["crossfade"],
    )
    seconds: float | None = Field(
        default=None,
        ge=1,
        le=60,
        allow_inf_nan=False,
        description="How long the scene lasts at least; narration may need longer.",
        examples=[5.0],
    )


class Storyboard(Part):
    """The whole film on paper."""

    title: Title = Field(description="The film's title.", examples=["The lamp"])
    characters: Annotated[tuple[Character, ...], Field(max_length=MAX_CHARACTERS)] = Field(
        default=(), description="Who appears in more than one scene, or matters.", examples=[[]]
    )
    scenes: Annotated[tuple[Scene, ...], Field(min_length=1, max_length=MAX_SCENES)] = Field(
        description="The scenes in order.",
        examples=[[{"narration": "It was a quiet night.", "shot": "the sea at night"}]],
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        names = [character.name for character in self.characters]
        if len(set(names)) < len(names):
            raise story_error("Two characters have the same name")
        for number, scene in enumerate(self.scenes, start=1):
            for name in scene.characters:
                if name not in names:
                    raise story_error(
                        f"Scene {number} shows {name!r}, who is none of the characters"
                    )
        # Without white space: a story's paragraphs are parted by more of it than the story had.
        if sum(len("".join(scene.narration.split())) for scene in self.scenes) > MAX_NARRATION:
            raise story_error(f"All narrations together have more than {MAX_NARRATION} characters")
        return self


def story_error(message: str) -> PydanticCustomError:
    """An error whose words quote the sender's: braces in them are no placeholders."""
    context: dict[str, Any] = {"reason": message}
    return PydanticCustomError("story_input", "{reason}", context)
