"""What the image generator takes and costs."""

from __future__ import annotations

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
    Steps,
    Strength,
    conflict,
    guidance_field,
    seed_field,
    steps_field,
)
from deployments.generators.common.model_limits import unsupported_fields
from deployments.references import ImageInput
from models.profiles.load import Capability, Profile

Side = Annotated[int, Field(ge=64, le=2048, multiple_of=8)]
Pixels = Annotated[int, Field(ge=0, le=1024)]
# models.diffusion.schedulers knows them; a test sees to it that both lists agree.
Scheduler = Literal[
    "default", "ddim", "ddpm", "euler", "euler_a", "dpm++_2m", "dpm++_2m_karras", "unipc",
    "flow_euler",
]  # fmt: skip

CREDITS_PER_IMAGE = 2
AREA = 512 * 512
STEPS = 30
SHOWN = ImageInput(url="https://example.com/photo.jpg")


class Extension(Part):
    """By how many pixels the picture grows on each side."""

    left: Pixels = Field(default=0, description="Pixels added on the left.", examples=[32])
    top: Pixels = Field(default=0, description="Pixels added above.", examples=[0])
    right: Pixels = Field(default=0, description="Pixels added on the right.", examples=[32])
    bottom: Pixels = Field(default=0, description="Pixels added below.", examples=[0])

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if not (self.left or self.top or self.right or self.bottom):
            raise PydanticCustomError("no_extension", "Say on which side the picture grows")
        return self


class Control(Part):
    """A map that the picture is drawn along."""

    image: ImageInput = Field(
        description="The map, or the picture it is made from.", examples=[SHOWN]
    )
    kind: Literal["edges", "depth", "pose"] = Field(
        default="edges",
        description="What the map shows: `edges`, white on black; `depth`, near is white; `pose`,"
        " an OpenPose skeleton. A kind the installed model does not follow is refused.",
        examples=["edges"],
    )
    made: Literal["given", "from_picture"] = Field(
        default="given",
        description="`given`: the image is the map; `from_picture`: the map is made from it (edges"
        " by Canny's method, depth by the depth model). A pose must be given.",
        examples=["from_picture"],
    )
    scale: float = Field(
        default=1.0, ge=0, le=2, allow_inf_nan=False,
        description="How closely the map is followed.", examples=[0.8],
    )  # fmt: skip

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.kind == "pose" and self.made == "from_picture":
            raise conflict("a pose is not found in pictures: give the skeleton itself")
        return self


class Lora(Part):
    """A style or subject laid over the model's weights."""

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    ] = Field(
        description="One that the installed profile lists; another is refused with those there"
        " are. The tiny profile has `noir`.",
        examples=["noir"],
    )
    weight: float = Field(
        default=1.0, ge=-2, le=2, allow_inf_nan=False,
        description="How strongly it works, in steps of 0.05; below 0 away from it.",
        examples=[0.8],
    )  # fmt: skip


class ImageRequest(Request):
    """A prompt, and what may be said about the pictures. What is left out, the profile decides.

    With `init_image` that picture is redrawn; with `mask`, too, only where the mask is white; with
    `extend` it is continued beyond its edges.
    """

    prompt: Prompt = Field(
        description="What the picture shows.",
        examples=["a woman with red hair in a blue shirt at the beach"],
    )
    negative_prompt: NegativePrompt = Field(
        default="", description="What the picture should not show.", examples=["a blue shirt"]
    )
    init_image: ImageInput | None = Field(
        default=None, description="A picture to start from.", examples=[SHOWN]
    )
    strength: Strength | None = Field(
        default=None,
        description="How much of `init_image` is drawn anew: 1 keeps nothing of it.",
        examples=[0.6],
    )  # fmt: skip
    mask: ImageInput | None = Field(
        default=None,
        description="White is drawn anew, black stays as it is, pixel for pixel. A picture with"
        " transparency: what is transparent is drawn anew.",
        examples=[None],
    )
    extend: Extension | None = Field(
        default=None,
        description="Continue `init_image` beyond its edges; what is there stays.",
        examples=[None],
    )
    control: Control | None = Field(
        default=None,
        description="Draw along a map: edges, depth or a pose.",
        examples=[None],
    )
    loras: Annotated[tuple[Lora, ...], Field(max_length=4)] = Field(
        default=(),
        description="Up to four LoRAs (low-rank adapters), each with its weight.",
        examples=[[{"name": "noir", "weight": 0.8}]],
    )
    background: Literal["drawn", "transparent"] = Field(
        default="drawn",
        description="`transparent` cuts the one thing that is shown out of its ground; not as JPEG."
        " A picture in which no single thing stands out fails, and costs nothing.",
        examples=["drawn"],
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
        le=8,
        description="How many pictures; picture i is drawn with seed + i.",
        examples=[1],
    )
    steps: Steps | None = steps_field()
    guidance: Guidance | None = guidance_field("prompt is")
    scheduler: Scheduler | None = Field(
        default=None,
        description="The sampler; one the installed model cannot use is refused with those it can.",
        examples=["ddim"],
    )
    upscale: Literal[1, 2, 4] = Field(
        default=1, description="Enlarge the result this many times.", examples=[2]
    )
    format: Literal["png", "jpeg", "webp"] = Field(
        default="png", description="The file's format.", examples=["png"]
    )
    quality: int = Field(
        default=90, ge=1, le=100, description="Of JPEG and WebP; PNG loses nothing.", examples=[90]
    )
    seed: Seed | None = seed_field("picture")

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if self.init_image is None:
            for name in ("strength", "mask", "extend"):
                if getattr(self, name) is not None:
                    raise conflict(f"{name} needs an init_image")
        if self.mask is not None and self.extend is not None:
            raise conflict("mask and extend do not go together: extend first, then repaint")
        if self.control is not None and self.init_image is not None:
            raise conflict("control and init_image do not go together")
        if self.background == "transparent" and self.format == "jpeg":
            raise conflict("JPEG has no transparency: take png or webp")
        if len({lora.name for lora in self.loras}) < len(self.loras):
            raise conflict("a LoRA is named twice")
        if (self.mask or self.extend) and (self.width or self.height):
            raise conflict("with mask or extend the result has the size of init_image")
        return self


def price(request: ImageRequest) -> list[PriceLine]:
    """Two credits a picture, times its started areas of 512x512, times its started 30 steps; one
    more for each picture that is doubled, four for each that is made four times as large."""
    areas = -(-(request.width or 512) * (request.height or 512) // AREA)
    runs = -(-(request.steps or STEPS) // STEPS)
    base = CREDITS_PER_IMAGE * request.n
    sides = 0
    if request.extend is not None:
        sides = -(-(sum(request.extend.model_dump().values())) // 512)
    larger = {1: 0, 2: 1, 4: 4}[request.upscale]
    lines = [
        PriceLine("pictures", request.n, base),
        PriceLine("further areas of 512x512", request.n * (areas - 1), base * (areas - 1)),
        PriceLine("further 30 steps", request.n * areas * (runs - 1), base * areas * (runs - 1)),
        PriceLine("started 512 pixels of extension", request.n * sides, base * sides),
        PriceLine("enlarging", request.n if larger else 0, larger * request.n),
    ]
    return [line for line in lines if line.quantity]


def unsupported(request: ImageRequest, profile: Profile) -> dict[str, str]:
    """What the models of ``profile`` cannot do of ``request``, by field."""
    field, capability = _capability(request)
    if capability not in profile.capabilities:
        return {field: "no installed model can do this"}
    if request.control is not None:
        followed = profile.capability_config(Capability.CONTROL).controls
        if request.control.kind not in followed:
            return {"control.kind": f"the installed model draws along {', '.join(followed)}"}
    values = {name: getattr(request, name) for name in ("guidance", "negative_prompt", "strength")}
    return unsupported_fields(profile, capability, values)


def _capability(request: ImageRequest) -> tuple[str, Capability]:
    """What the request needs, and the field that says so."""
    if request.control is not None:
        return "control", Capability.CONTROL
    if request.mask is not None or request.extend is not None:
        return "mask" if request.mask is not None else "extend", Capability.INPAINT
    if request.init_image is not None:
        return "init_image", Capability.IMAGE_TO_IMAGE
    return "prompt", Capability.TEXT_TO_IMAGE


SPEC = GeneratorSpec(
    name="image",
    title="Image",
    description="Draws pictures from a prompt, redraws parts of one, continues it, enlarges it.",
    request=ImageRequest,
    price=price,
    price_version="image-2",
    entry="deployments.generators.image.generator:ImageGenerator",
    expected_seconds=4.0,
    max_seconds=600.0,
    unsupported=unsupported,
    concurrency=16,  # they share every denoising step
)
