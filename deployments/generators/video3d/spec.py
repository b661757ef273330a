"""What the video3d generator takes and costs."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from billing.prices import PriceLine
from deployments.contract import GeneratorSpec, Request, Seed
from deployments.generators.common.fields import (
    Guidance,
    Prompt,
    Steps,
    conflict,
    seed_field,
    steps_field,
)
from deployments.generators.video3d.options import (
    CameraMove,
    Color,
    Gradient,
    Transparent,
    Turntable,
)
from deployments.references import ImageInput

Side = Annotated[int, Field(ge=64, le=1280, multiple_of=2)]

CREDITS_FOR_DRAWING, CREDITS_FOR_MESH, CREDITS_FOR_DEPTH, CREDITS_FOR_FINE = 2, 4, 1, 2
AREA, FRAMES, STEPS = 512 * 512, 24, 30
TURNTABLE_SIDE = 512
LONGEST = 1280
_PHOTO = LONGEST * 720  # what a photo of unknown size is priced as


class Video3DRequest(Request):
    """A film of a thing turning (`turntable`), or of a camera moving through a photo (`parallax`).

    It is made from a prompt or from an image. What is left out, the profile decides.
    """

    mode: Literal["turntable", "parallax"] = Field(
        description="`turntable`: one thing becomes a mesh, which turns before the camera."
        " `parallax`: the camera moves through a picture, near things past far ones.",
        examples=["turntable"],
    )
    prompt: Prompt | None = Field(
        default=None,
        description="What to show. For a turntable name one thing.",
        examples=["a big red circle on a blue background"],
    )  # fmt: skip
    image: ImageInput | None = Field(
        default=None,
        description="A picture instead of a prompt. For a turntable: one thing, before a plain or"
        " transparent ground or standing out from a busy one.",
        examples=[None],
    )
    seconds: float = Field(
        default=4.0, ge=1, le=20, allow_inf_nan=False,
        description="How long the film is; exact to the frame.", examples=[2.0],
    )  # fmt: skip
    fps: int = Field(default=24, ge=8, le=30, description="Frames a second.", examples=[12])
    width: Side | None = Field(
        default=None,
        description="Pixels, even. Left out: as high as wide, 512 for a turntable, the photo's own"
        " (1280 at most) for parallax.",
        examples=[256],
    )
    height: Side | None = Field(
        default=None,
        description="Pixels, even. Given with width, a photo of another aspect is cut.",
        examples=[256],
    )
    background: Color | Transparent | Gradient | None = Field(
        default=None,
        description="Behind a turntable: a name, `#rrggbb`, a gradient from top to bottom, or"
        " `transparent` (WebM; GIF with hard edges). Light grey if left out.",
        examples=[{"top": "sky", "bottom": "white"}],
    )
    format: Literal["mp4", "webm", "gif"] = Field(
        default="mp4",
        description="H.264, VP9, or an animated GIF of 256 colours.",
        examples=["mp4"],
    )
    loop: bool = Field(
        default=True,
        description="The last frame leads into the first: an open path is gone there and back.",
        examples=[True],
    )
    easing: Literal["linear", "ease_in", "ease_out", "ease_in_out"] | None = Field(
        default=None,
        description="How it starts and stops. Left out: linear for full turns and orbits, else"
        " ease_in_out.",
        examples=["linear"],
    )
    turntable: Turntable | None = Field(
        default=None,
        description="How the thing is shown; only with mode turntable.",
        examples=[Turntable()],
    )
    camera: CameraMove | None = Field(
        default=None,
        description="How the camera moves; only with mode parallax.",
        examples=[None],
    )
    poster: Literal["png", "jpeg"] = Field(
        default="png", description="The format of the film's still picture.", examples=["png"]
    )
    steps: Steps | None = steps_field("Denoising steps, of the picture and of Shap-E.")
    guidance: Guidance | None = Field(
        default=None,
        description="How closely the prompt is followed when the picture is drawn.",
        examples=[3.0],
    )  # fmt: skip
    seed: Seed | None = seed_field("film")

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if (self.prompt is None) == (self.image is None):
            raise conflict("Give exactly one of prompt and image")
        if self.mode == "parallax":
            if self.turntable is not None:
                raise conflict("turntable goes with mode turntable only: for parallax give camera")
            if self.background is not None:
                raise conflict("background goes with mode turntable only: a photo has its own")
            if self.image is not None and self.steps is not None:
                raise conflict("steps need something to draw: leave it out with a photo")
        elif self.camera is not None:
            raise conflict("camera goes with mode parallax only: for a turntable give turntable")
        if self.image is not None and self.guidance is not None:
            raise conflict("guidance needs a prompt")
        if self.background == "transparent":
            if self.format == "mp4":
                raise conflict("MP4 has no transparency: choose format webm or gif")
            if self.poster == "jpeg":
                raise conflict("JPEG has no transparency: choose poster png")
        return self

    @property
    def frames(self) -> int:
        """How many frames the film has."""
        return round(self.seconds * self.fps)


def price(request: Video3DRequest) -> list[PriceLine]:
    """A credit for each started 24 frames, times their started areas of 512x512; 4 for a mesh (2
    more for a fine one), 1 for depth; 2 for drawing; as much again for each further 30 steps."""
    turntable = request.mode == "turntable"
    drawn = CREDITS_FOR_DRAWING if request.prompt is not None else 0
    made = CREDITS_FOR_MESH if turntable else CREDITS_FOR_DEPTH
    runs = ceil((request.steps or STEPS) / STEPS) - 1
    fine = turntable and request.turntable is not None and request.turntable.detail == "fine"
    film = ceil(request.frames / FRAMES) * ceil(_pixels(request) / AREA)
    lines = [
        PriceLine("24 frames of 512x512", film, film),
        PriceLine("mesh" if turntable else "depth", 1, made),
        PriceLine("fine mesh", int(fine), CREDITS_FOR_FINE),
        PriceLine("drawing", int(drawn > 0), drawn),
        PriceLine("further 30 steps", runs, runs * (drawn + (made if turntable else 0))),
    ]
    return [line for line in lines if line.quantity]


def _pixels(request: Video3DRequest) -> int:
    """Of a frame; a photo's aspect is not known yet."""
    if request.width and request.height:
        return request.width * request.height
    side = request.width or request.height
    if request.mode == "turntable":
        return (side or TURNTABLE_SIDE) ** 2
    return side * LONGEST if side else _PHOTO


SPEC = GeneratorSpec(
    name="video3d",
    title="3D video",
    description="Turns a prompt or a picture into a mesh and films it turning, or moves a camera"
    " through a photo.",
    request=Video3DRequest,
    price=price,
    price_version="video3d-1",
    entry="deployments.generators.video3d.generator:Video3DGenerator",
    expected_seconds=15.0,
    max_seconds=1800.0,
    concurrency=2,  # one may draw its frames while the other waits for a model
)
