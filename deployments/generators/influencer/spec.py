"""What the influencer generator takes and costs."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from billing.prices import PriceLine
from deployments.contract import GeneratorSpec, Request, Seed
from deployments.generators.common.fields import (
    Guidance,
    NegativePrompt,
    Part,
    Prompt,
    Redraws,
    Share,
    Steps,
    check_speech,
    guidance_field,
    redraws_field,
    seed_field,
    steps_field,
)
from deployments.generators.common.model_limits import unsupported_for_person
from deployments.references import ImageInput, PersonaId

Words = StringConstraints(strip_whitespace=True, min_length=1, max_length=500)
Aspect = Literal["1:1", "4:5", "5:4", "3:4", "4:3", "2:3", "3:2", "9:16", "16:9"]

CREDITS_PER_IMAGE = 3  # redraws are ours
STEPS = 30
CREDITS_PER_CLIP = 2  # for each started CLIP_SECONDS
CLIP_SECONDS = 10
CREDITS_PER_NARRATION = 1  # for each started NARRATION_CHARACTERS
NARRATION_CHARACTERS = 500

# A picture of 8x8 pixels: small enough to read here. Real ones show a face.
_PICTURE = {
    "data": "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mO8tKCCARtgYsABBqcEAIJtAfqY1Z8NAAAA"
    "AElFTkSuQmCC"
}


class Who(Part):
    """One person: a saved persona, or pictures that come with the request."""

    persona_id: PersonaId | None = Field(
        default=None,
        description="A persona of yours, from POST /v1/personas. Not with reference_images.",
        examples=[None],
    )
    reference_images: (
        Annotated[tuple[ImageInput, ...], Field(min_length=1, max_length=8)] | None
    ) = Field(
        default=None,
        description="Pictures of one person, the face well seen. Not with persona_id.",
        examples=[[_PICTURE]],
    )
    consent: Literal[True] | None = Field(
        default=None,
        description="With reference_images: true says that the person on them agreed to this use.",
        examples=[True],
    )
    description: Annotated[str, Words] | None = Field(
        default=None,
        description="The person in words, as a prompt would put it. How it begins (`a woman`) says"
        " who is drawn; for hair, skin and face the pictures count. Left out: the persona's own"
        " description, or else what the pictures show.",
        examples=["a woman with red hair"],
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.persona_id is None) == (self.reference_images is None):
            raise PydanticCustomError(
                "conflicting_fields", "Give exactly one of persona_id and reference_images"
            )
        if self.reference_images is not None and self.consent is not True:
            raise PydanticCustomError(
                "consent_missing",
                "reference_images need consent: true, the word that the person on them agreed",
            )
        return self


class Shot(Part):
    """One picture of the set."""

    scene: Annotated[str, Words] = Field(
        description="Where the person is, with a preposition or without.",
        examples=["beach", "in a café in Paris"],
    )
    outfit: Annotated[str, Words] | None = Field(
        default=None,
        description="What the person wears. Left out: what the reference picture shows.",
        examples=["a blue shirt"],
    )
    pose: Annotated[str, Words] | None = Field(
        default=None, description="What the person does.", examples=["waving"]
    )
    aspect: Aspect | None = Field(
        default=None,
        description="Width to height. Left out: the size that the installed model draws best.",
        examples=["1:1", "4:5"],
    )


class Clip(Part):
    """A short film of the set: the pictures one after another, under a gently moving camera."""

    narration: Prompt | None = Field(
        default=None,
        description="What a voice says to it. The pictures stay as long as the voice needs.",
        examples=["A day by the sea."],
    )
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")] = (
        Field(
            default="en",
            max_length=35,
            description="Of the narration, a BCP 47 tag.",
            examples=["en", "pt-BR"],
        )
    )
    voice: Annotated[str, StringConstraints(min_length=1, max_length=60)] | None = Field(
        default=None,
        description="A voice of the installation. Left out: one that speaks the language.",
        examples=["en-us"],
    )
    subtitles: bool = Field(
        default=True,
        description="Put the narration into the film as subtitles, and beside it as clip.vtt.",
        examples=[True],
    )
    seconds_per_image: float = Field(
        default=3.0,
        ge=1,
        le=10,
        allow_inf_nan=False,
        description="How long each picture stays, in seconds.",
        examples=[3.0],
    )
    aspect: Aspect = Field(
        default="9:16", description="Width to height of the film.", examples=["1:1", "9:16"]
    )

    @model_validator(mode="after")
    def _can_be_spoken(self) -> Self:
        if self.narration is not None:
            check_speech(self.narration, self.language, self.voice)
        return self


class InfluencerRequest(Request):
    """A person and the pictures to make of them. What is left out, the profile decides."""

    person: Who = Field(
        description="Who is shown: a saved persona, or reference pictures with consent.",
        examples=[{"reference_images": [_PICTURE], "consent": True}],
    )
    images: Annotated[tuple[Shot, ...], Field(min_length=1, max_length=12)] = Field(
        description="The pictures to make: picture i is drawn with seed + i.",
        examples=[[{"scene": "beach", "outfit": "a blue shirt"}, {"scene": "city"}]],
    )
    identity_strength: Share | None = Field(
        default=None,
        description="How much the reference picture counts against the words. Left out: the"
        " model's usual strength, and less for pictures whose outfit is given.",
        examples=[0.8],
    )
    style: Annotated[str, Words] | None = Field(
        default=None,
        description="How all pictures look; added to each prompt.",
        examples=["soft evening light"],
    )
    negative_prompt: NegativePrompt = Field(
        default="", description="What no picture should show.", examples=["a hat"]
    )
    likeness_threshold: Share | None = Field(
        default=None,
        description="A picture whose likeness is lower is drawn again. Left out: what was measured"
        " for the installed model to keep hair and skin.",
        examples=[0.75],
    )
    max_redraws: Redraws = redraws_field()
    steps: Steps | None = steps_field()
    guidance: Guidance | None = guidance_field("words are")
    seed: Seed | None = seed_field("set")
    clip: Clip | None = Field(
        default=None,
        description="Make a short film of the set, too.",
        examples=[{"narration": "A day by the sea.", "seconds_per_image": 2}],
    )


def price(request: InfluencerRequest) -> list[PriceLine]:
    """Three credits a picture times its started 30 steps, redraws included; a clip two for each
    started ten seconds of its pictures, and one for each started 500 characters of narration."""
    count, clip = len(request.images), request.clip
    runs = -(-(request.steps or STEPS) // STEPS)
    base = CREDITS_PER_IMAGE * count
    lines = [
        PriceLine("pictures", count, base),
        PriceLine("further 30 steps", count * (runs - 1), base * (runs - 1)),
    ]
    if clip is not None:
        tens = math.ceil(count * clip.seconds_per_image / CLIP_SECONDS)
        spoken = -(-len(clip.narration or "") // NARRATION_CHARACTERS)
        lines += [
            PriceLine("10 seconds of film", tens, CREDITS_PER_CLIP * tens),
            PriceLine("500 characters of narration", spoken, CREDITS_PER_NARRATION * spoken),
        ]
    return [line for line in lines if line.quantity]


SPEC = GeneratorSpec(
    name="influencer",
    title="Influencer",
    description="Draws a set of pictures of one person in several scenes, and a clip of them.",
    request=InfluencerRequest,
    price=price,
    price_version="influencer-1",
    entry="deployments.generators.influencer.generator:InfluencerGenerator",
    expected_seconds=20.0,
    max_seconds=1800.0,
    unsupported=unsupported_for_person,
    concurrency=2,  # each draws up to four pictures side by side
)
