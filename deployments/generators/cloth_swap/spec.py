"""What the cloth swap generator takes and costs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from billing.prices import PriceLine
from deployments.contract import GeneratorSpec, Request, Seed
from deployments.generators.common.fields import (
    Guidance,
    Part,
    Steps,
    conflict,
    seed_field,
    steps_field,
)
from deployments.generators.common.model_limits import unsupported_fields
from deployments.references import ImageInput
from models.profiles.load import Capability, Profile

CREDITS_PER_GARMENT = 4
STEPS = 30
PHOTO = ImageInput(url="https://example.com/person.jpg")
SHIRT = ImageInput(url="https://example.com/shirt.jpg")


class Garment(Part):
    """A garment to put on."""

    image: ImageInput = Field(
        description="The garment, lying flat or worn by somebody. It decides colour and pattern.",
        examples=[SHIRT],
    )
    category: Literal["auto", "upper", "lower", "dress"] = Field(
        default="auto",
        description="What it covers; `auto` exchanges what the person wears above, or the dress.",
        examples=["upper"],
    )
    kind: Literal["auto", "flat", "worn"] = Field(
        default="auto",
        description="Whether its picture shows it by itself or on somebody; `auto` looks.",
        examples=["flat"],
    )
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)] = Field(
        default="", description="Words about it, if the picture leaves something open.",
        examples=["a cotton shirt"],
    )  # fmt: skip


class ClothSwapRequest(Request):
    """A photo of one person and the garments to wear. All else in the photo stays as it is."""

    person_image: ImageInput = Field(
        description="A photo of one person, standing free, at least 48 pixels a side.",
        examples=[PHOTO],
    )
    garments: tuple[Garment, ...] = Field(
        min_length=1, max_length=3,
        description="What to wear, put on one after the other: an upper and a lower one, say.",
        examples=[(Garment(image=SHIRT, category="upper"),)],
    )  # fmt: skip
    mask: ImageInput | None = Field(
        default=None,
        description="Where to paint, white, instead of what is found. Goes with one garment.",
        examples=[None],
    )
    keep_face_and_hands: bool = Field(
        default=True,
        description="Face, hair, arms and hands stay pixel for pixel.",
        examples=[True],
    )
    n: int = Field(
        default=1, ge=1, le=4, description="How many pictures; picture i uses seed + i.",
        examples=[1],
    )  # fmt: skip
    steps: Steps | None = steps_field("Denoising steps.")
    guidance: Guidance | None = Field(
        default=None,
        description="How closely the garment is followed.", examples=[3.0],
    )  # fmt: skip
    seed: Seed | None = seed_field("picture")

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if self.mask is not None and len(self.garments) > 1:
            raise conflict("a mask goes with one garment")
        worn = [one.category for one in self.garments]
        if len(worn) > 1:
            if "auto" in worn:
                raise conflict("of several garments each needs its category")
            if len(set(worn)) < len(worn):
                raise conflict("two garments of one category")
            if "dress" in worn:
                raise conflict("a dress goes with no other garment")
        return self


def price(request: ClothSwapRequest) -> list[PriceLine]:
    """Four credits a garment and picture, times its started 30 steps."""
    worn = len(request.garments) * request.n
    runs = -(-(request.steps or STEPS) // STEPS)
    lines = [
        PriceLine("garments put on", worn, CREDITS_PER_GARMENT * worn),
        PriceLine("further 30 steps", worn * (runs - 1), CREDITS_PER_GARMENT * worn * (runs - 1)),
    ]
    return [line for line in lines if line.quantity]


def unsupported(request: ClothSwapRequest, profile: Profile) -> dict[str, str]:
    """What the models of ``profile`` cannot do of ``request``, by field."""
    return unsupported_fields(profile, Capability.GARMENT, {"guidance": request.guidance})


SPEC = GeneratorSpec(
    name="cloth_swap",
    title="Cloth swap",
    description="Shows the person of a photo in other garments, taken from their pictures.",
    request=ClothSwapRequest,
    price=price,
    price_version="cloth_swap-1",
    entry="deployments.generators.cloth_swap.generator:ClothSwapGenerator",
    expected_seconds=6.0,
    max_seconds=600.0,
    unsupported=unsupported,
    concurrency=4,
)
