"""The parts of the video3d generator's request: the turntable, the camera, the background."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deployments.generators.common.fields import Part

NAMED_COLORS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128),
    "silver": (200, 204, 210), "charcoal": (44, 48, 54), "ivory": (250, 246, 234),
    "beige": (235, 222, 200), "red": (200, 40, 40), "orange": (240, 140, 40),
    "yellow": (245, 210, 60), "green": (60, 150, 80), "teal": (30, 130, 130),
    "sky": (160, 205, 240), "blue": (40, 90, 200), "navy": (24, 34, 80),
    "purple": (120, 70, 170), "pink": (240, 170, 195), "brown": (120, 80, 50),
}  # fmt: skip
Color = Annotated[
    str, Field(max_length=16, pattern=f"^(#[0-9a-fA-F]{{6}}|{'|'.join(NAMED_COLORS)})$")
]
Transparent = Literal["transparent"]


class Gradient(Part):
    """A colour at the top that becomes another at the bottom."""

    top: Color = Field(description="The colour at the top.", examples=["sky"])
    bottom: Color = Field(description="The colour at the bottom.", examples=["#ffffff"])


class Turntable(Part):
    """How the thing is shown while it turns."""

    elevation: float = Field(
        default=18.0, ge=-80, le=80, allow_inf_nan=False,
        description="Degrees by which the camera looks down on it; negative looks up.",
        examples=[18.0],
    )  # fmt: skip
    turns: float = Field(
        default=1.0, ge=0.05, le=10, allow_inf_nan=False,
        description="How often it turns. Not a whole number and `loop`: it turns there and back.",
        examples=[1.0],
    )  # fmt: skip
    direction: Literal["left", "right"] = Field(
        default="left", description="Where its front goes to.", examples=["left"]
    )
    start: float = Field(
        default=0.0, ge=-360, le=360, allow_inf_nan=False,
        description="Degrees by which it is turned in the first frame; 0 shows its front.",
        examples=[0.0],
    )  # fmt: skip
    lighting: Literal["studio", "soft", "dramatic", "flat"] = Field(
        default="studio",
        description="`studio`: three lamps and highlights; `soft`: an overcast day; `dramatic`: one"
        " lamp from the side; `flat`: the colours as they are.",
        examples=["studio"],
    )
    shadow: bool = Field(
        default=True, description="Whether it throws a shadow on the ground.", examples=[True]
    )
    detail: Literal["draft", "standard", "fine"] = Field(
        default="standard",
        description="How finely the mesh is cut: about 24, 40 or 72 cells along its longer side,"
        " with Shap-E 64, 128 or 192.",
        examples=["standard"],
    )


class CameraMove(Part):
    """How the camera moves through the photo."""

    path: Literal["orbit", "dolly", "pan", "zoom", "arc"] = Field(
        default="orbit",
        description="`orbit`: in a small circle; `arc`: a swing from left to right; `pan`: straight"
        " from left to right; `dolly`: in; `zoom`: in, with the lens narrowing.",
        examples=["orbit"],
    )
    strength: float = Field(
        default=0.5, gt=0, le=1, allow_inf_nan=False,
        description="How far it moves: at 1 the nearest thing moves by a tenth of the picture.",
        examples=[0.5],
    )  # fmt: skip
    reverse: bool = Field(
        default=False, description="Take the path the other way round.", examples=[False]
    )
    focus: float = Field(
        default=0.0, ge=0, le=1, allow_inf_nan=False,
        description="The depth that stays where it is when the camera moves sideways: 0 the"
        " farthest, 1 the nearest thing.",
        examples=[0.0],
    )  # fmt: skip
