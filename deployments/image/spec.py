"""What the image generator takes and costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from billing.prices import PriceLine
from deployments.contract import GeneratorSpec, Request

Text = StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)
Side = Annotated[int, Field(ge=64, le=2048, multiple_of=8)]

CREDITS_PER_IMAGE = 2
AREA = 512 * 512
STEPS = 30


class ImageRequest(Request):
    """A prompt, and what may be said about the pictures. What is left out, the profile decides."""

    prompt: Annotated[str, Text] = Field(
        description="What the picture shows.",
        examples=["a woman with red hair in a blue shirt at the beach"],
    )
    negative_prompt: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = (
        Field(
            default="", description="What the picture should not show.", examples=["a blue shirt"]
        )
    )
    width: Side | None = Field(
        default=None,
        description="Pixels, a multiple of 8. The installed model may allow less than the bound.",
        examples=[64],
    )
    height: Side | None = Field(
        default=None,
        description="Pixels, a multiple of 8. The installed model may allow less than the bound.",
        examples=[64],
    )
    n: int = Field(
        default=1,
        ge=1,
        le=4,
        description="How many pictures; picture i is drawn with seed + i.",
        examples=[1],
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Denoising steps: more are slower and, up to a point, better.",
        examples=[12],
    )
    guidance: float | None = Field(
        default=None,
        ge=0,
        le=30,
        allow_inf_nan=False,
        description="How closely the prompt is followed; 1 and below switch guidance off.",
        examples=[3.0],
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="The same seed, input and model give the same picture. Random if left out.",
        examples=[7],
    )


def price(request: ImageRequest) -> list[PriceLine]:
    """Two credits a picture, times its started areas of 512x512, times its started 30 steps."""
    areas = -(-(request.width or 512) * (request.height or 512) // AREA)
    runs = -(-(request.steps or STEPS) // STEPS)
    base = CREDITS_PER_IMAGE * request.n
    lines = [
        PriceLine("pictures", request.n, base),
        PriceLine("further areas of 512x512", request.n * (areas - 1), base * (areas - 1)),
        PriceLine("further 30 steps", request.n * areas * (runs - 1), base * areas * (runs - 1)),
    ]
    return [line for line in lines if line.quantity]


SPEC = GeneratorSpec(
    name="image",
    title="Image",
    description="Draws up to four pictures from a prompt.",
    request=ImageRequest,
    price=price,
    price_version="image-1",
    entry="deployments.image.generator:ImageGenerator",
    num_gpus=0.5,
    expected_seconds=4.0,
    max_seconds=300.0,
    concurrency=8,  # they share every denoising step
)
