"""The lesson script: what a lesson film shows and says, as data.

Every text is plain text: nothing in it is markup, code or a path, but for formulas between
``\\(`` and ``\\)``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    StringConstraints,
    model_validator,
)

from models.schemas.drawn_scenes import DiagramScene, EquationScene, PlotScene
from models.schemas.scene_base import (
    MAX_HEADING,
    Cell,
    Heading,
    Level,
    Line,
    Mark,
    Part,
    SceneBase,
    SourceLine,
    limited_text,
)

Aspect = Literal["16:9", "9:16", "1:1"]
ThemeName = Literal["light", "dark", "chalkboard", "paper", "blueprint"]

MAX_SCENES = 40
_LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"


class TitleScene(SceneBase):
    """Opens a lesson, or a part of it."""

    type: Literal["title"] = Field(default="title", description="Kind of scene.")
    title: Annotated[str, limited_text(MAX_HEADING)] = Field(
        description="The large line.", examples=["The Pythagorean theorem"]
    )
    subtitle: Annotated[str, limited_text(240, 0)] = Field(
        default="", description="The smaller line below.", examples=["Why the squares add up"]
    )


class _ListScene(SceneBase):
    """What bullets and steps have: places of points in lists within lists, and other marks."""

    levels: tuple[Level, ...] = Field(
        default=(),
        max_length=12,
        description="How deep each point lies in lists within lists, from 0; empty: none does.",
        examples=[[0, 1, 1]],
    )
    marks: tuple[Mark, ...] = Field(
        default=(),
        max_length=12,
        description="What stands before each point: '•', '7', '[ ]' and '[x]' for boxes, nothing"
        " for what goes on with the point above. Empty: dots or numbers.",
        examples=[["1", "•", "•"]],
    )

    def _check_points(self, points: tuple[str, ...]) -> None:
        for name in ("levels", "marks"):
            if len(getattr(self, name)) not in (0, len(points)):
                raise ValueError(f"{name} has one entry for each point, or none")


class BulletsScene(_ListScene):
    """Points that appear one after another."""

    type: Literal["bullets"] = Field(default="bullets", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["What we need"])
    bullets: tuple[Line, ...] = Field(
        min_length=1,
        max_length=12,
        description="One point each; plain text, with formulas as \\(x^2\\).",
        examples=[["A right angle", "Two legs", "The long side"]],
    )

    @model_validator(mode="after")
    def _points_fit(self) -> BulletsScene:
        self._check_points(self.bullets)
        return self


class StepsScene(_ListScene):
    """Numbered steps that appear one after another."""

    type: Literal["steps"] = Field(default="steps", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["Solve it"])
    steps: tuple[Line, ...] = Field(
        min_length=1,
        max_length=12,
        description="One step each; numbered by themselves.",
        examples=[["Square both legs", "Add them", "Take the root"]],
    )
    start: int = Field(
        default=1,
        ge=0,
        le=999_999_999,
        description="The number of the first step; marks, where given, take its place.",
        examples=[1],
    )

    @model_validator(mode="after")
    def _points_fit(self) -> StepsScene:
        self._check_points(self.steps)
        return self


class TableScene(SceneBase):
    """A table whose rows appear one after another."""

    type: Literal["table"] = Field(default="table", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["Parts"])
    header: tuple[Cell, ...] = Field(
        min_length=1,
        max_length=6,
        description="The names of the columns; a name may be empty.",
        examples=[["Part", "What it does"]],
    )
    rows: tuple[Annotated[tuple[Cell, ...], Field(max_length=6)], ...] = Field(
        min_length=1,
        max_length=12,
        description="The rows; each has as many cells as the header.",
        examples=[[["Nucleus", "keeps the plan"]]],
    )

    @model_validator(mode="after")
    def _rows_fit(self) -> TableScene:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.header):
                raise ValueError(f"row {number} has {len(row)} cells, not {len(self.header)}")
        return self


class CodeScene(SceneBase):
    """Code as it is written, in a typewriter's type; the voice does not read it."""

    type: Literal["code"] = Field(default="code", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["An example"])
    code: Annotated[str, StringConstraints(min_length=1, max_length=2400)] = Field(
        description="The code; its lines and indentation stay.", examples=["print(1)"]
    )
    language: Annotated[str, limited_text(40, 0)] = Field(
        default="",
        description="The name of its language, which chooses its colors; unknown: no colors.",
        examples=["python"],
    )
    caption: Annotated[str, limited_text(240, 0)] = Field(
        default="", description="A line below.", examples=["loops.py"]
    )

    @model_validator(mode="after")
    def _has_ink(self) -> CodeScene:
        if not self.code.strip():
            raise ValueError("the code is empty")
        return self


class QuoteScene(SceneBase):
    """The words of somebody else, or a note set apart."""

    type: Literal["quote"] = Field(default="quote", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["A motto"])
    label: Annotated[str, limited_text(40, 0)] = Field(
        default="", description="The kind of note, above it.", examples=["Tip"]
    )
    quotes: tuple[Line, ...] = Field(
        min_length=1,
        max_length=12,
        description="Its paragraphs.",
        examples=[["The nucleus keeps the plan."]],
    )


class PictureScene(SceneBase):
    """One of the pictures given with the lesson."""

    type: Literal["picture"] = Field(default="picture", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["A leaf"])
    image: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$", max_length=64)] = Field(
        description="The name under which the picture was given; never a path.", examples=["leaf"]
    )
    caption: Annotated[str, limited_text(240, 0)] = Field(
        default="", description="A line below.", examples=["Seen from below"]
    )


class QuizScene(SceneBase):
    """A question, a pause to think, the answer."""

    type: Literal["quiz"] = Field(default="quiz", description="Kind of scene.")
    question: Annotated[str, limited_text(300)] = Field(
        description="What is asked.", examples=["Which side is the longest?"]
    )
    choices: tuple[Annotated[str, limited_text(160)], ...] = Field(
        min_length=2,
        max_length=6,
        description="What can be answered.",
        examples=[["A leg", "The hypotenuse"]],
    )
    answer: int = Field(
        ge=0, le=5, description="Which choice is right, counted from 0.", examples=[1]
    )
    pause_s: float = Field(
        default=4,
        ge=1,
        le=30,
        allow_inf_nan=False,
        description="Seconds to think, with a countdown.",
        examples=[4],
    )

    @model_validator(mode="after")
    def _answer_is_a_choice(self) -> QuizScene:
        if self.answer >= len(self.choices):
            raise ValueError(f"answer {self.answer}: the choices are 0 to {len(self.choices) - 1}")
        return self


Scene = Annotated[
    TitleScene
    | BulletsScene
    | EquationScene
    | PlotScene
    | DiagramScene
    | StepsScene
    | PictureScene
    | QuizScene
    | TableScene
    | CodeScene
    | QuoteScene,
    Field(discriminator="type"),
]


class LeftOut(Part):
    """Words of the source that the lesson neither shows nor says."""

    lines: tuple[SourceLine, SourceLine] | None = Field(
        default=None,
        description="The first and the last line of the source they stand on, where it is known.",
        examples=[[1, 4]],
    )
    text: Annotated[str, limited_text(20_000)] = Field(
        description="The words.", examples=["theme: gaia"]
    )
    reason: Annotated[str, limited_text(200)] = Field(
        description="Why they are left out.", examples=["front matter"]
    )


class Lesson(Part):
    """A whole lesson: the scenes in the order they are shown."""

    title: Annotated[str, limited_text(MAX_HEADING)] = Field(
        description="Names the film.", examples=["The Pythagorean theorem"]
    )
    language: Annotated[str, StringConstraints(pattern=_LANGUAGE, max_length=35)] = Field(
        default="en",
        description="BCP 47 tag of the texts: chooses the voice, and how text is set.",
        examples=["en"],
    )
    scenes: tuple[Scene, ...] = Field(
        min_length=1,
        max_length=MAX_SCENES,
        description="What is shown and said, in order.",
        examples=[[{"type": "title", "title": "The Pythagorean theorem"}]],
    )
    left_out: tuple[LeftOut, ...] = Field(
        default=(),
        max_length=20_000,
        description="What of the source is neither shown nor said, and why; written by the"
        " generator and not drawn.",
        examples=[[]],
    )
