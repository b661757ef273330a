"""What the scenes of a lesson script have in common: the kinds of text, and the base classes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from models.formulas.terms import MAX_TERM_LENGTH
from models.schemas import maths


def limited_text(longest: int, shortest: int = 1) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)


MAX_HEADING = 160  # characters; a longer line could not be set in the room of a heading
MAX_LINE = 400  # of a point: it still fits on a page of its own in every aspect
MAX_CELL = 120
MAX_NARRATION = 3000

Heading = Annotated[str, limited_text(MAX_HEADING, 0)]
Line = Annotated[str, limited_text(MAX_LINE)]
Mark = Annotated[str, limited_text(12, 0)]
Level = Annotated[int, Field(ge=0, le=7)]
Label = Annotated[str, limited_text(80)]
Cell = Annotated[str, limited_text(MAX_CELL, 0)]
Term = Annotated[str, limited_text(MAX_TERM_LENGTH), AfterValidator(maths.check_term)]
FunctionOfX = Annotated[str, limited_text(300), AfterValidator(maths.check_function)]
NodeId = Annotated[str, StringConstraints(pattern=r"^[\w-]+$", min_length=1, max_length=40)]
SourceLine = Annotated[int, Field(ge=1, le=1_000_000)]
Number = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SceneBase(Part):
    """What every scene has."""

    narration: Annotated[str, limited_text(MAX_NARRATION, 0)] = Field(
        default="",
        description="What the voice says during the scene; empty: the scene is silent.",
        examples=["Let us look at the curve."],
    )
    min_seconds: float | None = Field(
        default=None,
        ge=1,
        le=120,
        allow_inf_nan=False,
        description="The scene lasts at least so long, however short its narration is.",
        examples=[4],
    )
    source_lines: tuple[SourceLine, SourceLine] | None = Field(
        default=None,
        description="The first and the last line of the Markdown that it was made from.",
        examples=[[3, 7]],
    )
