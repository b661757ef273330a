"""The lesson script: what a lesson film shows and says, as data.

Every text is plain text: nothing in it is markup, code or a path.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from models.formulas.terms import MAX_TERM_LENGTH
from models.schemas import maths

Aspect = Literal["16:9", "9:16", "1:1"]
ThemeName = Literal["light", "dark", "chalkboard", "paper", "blueprint"]

MAX_SCENES = 40
_LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"


def _text(longest: int, shortest: int = 1) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)


MAX_HEADING = 160  # characters; a longer line could not be set in the room of a heading
MAX_LINE = 400  # of a point: it still fits on a page of its own in every aspect
MAX_NARRATION = 3000

Heading = Annotated[str, _text(MAX_HEADING, 0)]
Line = Annotated[str, _text(MAX_LINE)]
Mark = Annotated[str, _text(12, 0)]
Level = Annotated[int, Field(ge=0, le=7)]
Label = Annotated[str, _text(80)]
Cell = Annotated[str, _text(120, 0)]
Term = Annotated[str, _text(MAX_TERM_LENGTH), AfterValidator(maths.check_term)]
FunctionOfX = Annotated[str, _text(300), AfterValidator(maths.check_function)]
NodeId = Annotated[str, StringConstraints(pattern=r"^[\w-]+$", min_length=1, max_length=40)]
SourceLine = Annotated[int, Field(ge=1, le=1_000_000)]
Number = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Scene(_Part):
    """What every scene has."""

    narration: Annotated[str, _text(MAX_NARRATION, 0)] = Field(
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


class TitleScene(_Scene):
    """Opens a lesson, or a part of it."""

    type: Literal["title"] = Field(default="title", description="Kind of scene.")
    title: Annotated[str, _text(MAX_HEADING)] = Field(
        description="The large line.", examples=["The Pythagorean theorem"]
    )
    subtitle: Annotated[str, _text(240, 0)] = Field(
        default="", description="The smaller line below.", examples=["Why the squares add up"]
    )


class _ListScene(_Scene):
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
        description="One point each; plain text.",
        examples=[["A right angle", "Two legs", "The long side"]],
    )

    @model_validator(mode="after")
    def _points_fit(self) -> BulletsScene:
        self._check_points(self.bullets)
        return self


class EquationScene(_Scene):
    """An equation, built up term by term."""

    type: Literal["equation"] = Field(default="equation", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["The theorem"])
    terms: tuple[Term, ...] = Field(
        min_length=1,
        max_length=16,
        description="The parts of one equation in order, LaTeX-like"
        " (\\frac{a}{b}, x_1^2, \\sqrt{x}, \\sum_{i=1}^n, \\pi, \\ce{H2O}, \\SI{9.8}{m/s^2},"
        " \\begin{pmatrix}a & b \\\\ c & d\\end{pmatrix}) or plain (a/b, sqrt(x), >=)."
        " A part that begins with \\\\ begins a new row; rows are aligned at &."
        " Only mathematics is read; an unknown command is refused.",
        examples=[["a^2", "+ b^2", "= c^2"]],
    )
    caption: Annotated[str, _text(240, 0)] = Field(
        default="", description="A line below.", examples=["c is the side across the right angle"]
    )


class DataPoint(_Part):
    """A point of a data plot."""

    x: Number = Field(description="To the right.", examples=[1.0])
    y: Number = Field(description="Upwards.", examples=[2.5])


class Bar(_Part):
    """A bar of a bar chart."""

    label: Label = Field(description="Below the bar.", examples=["2024"])
    value: Number = Field(description="Its height; may be negative.", examples=[12.0])


class PlotScene(_Scene):
    """A curve of functions, data points or bars, drawn on."""

    type: Literal["plot"] = Field(default="plot", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["A wave"])
    functions: tuple[FunctionOfX, ...] = Field(
        default=(),
        max_length=4,
        description="Functions of x: + - * / ^, brackets, pi, e, sin cos tan asin acos atan sinh"
        " cosh tanh exp ln log log2 sqrt cbrt abs sign floor ceil min max."
        " 'y =' in front is allowed.",
        examples=[["sin(x)*x", "x"]],
    )
    points: tuple[DataPoint, ...] = Field(
        default=(),
        max_length=500,
        description="Measured points.",
        examples=[[{"x": 0, "y": 1}, {"x": 1, "y": 3}]],
    )
    connect: bool = Field(
        default=True, description="Whether a line joins the points.", examples=[True]
    )
    bars: tuple[Bar, ...] = Field(
        default=(),
        max_length=16,
        description="Bars instead of a curve.",
        examples=[[{"label": "2023", "value": 3}, {"label": "2024", "value": 5}]],
    )
    x_range: tuple[Number, Number] | None = Field(
        default=None,
        description="From and to; left out: -10 to 10, or what the data spans.",
        examples=[[-6.28, 6.28]],
    )
    y_range: tuple[Number, Number] | None = Field(
        default=None, description="From and to; left out: what is drawn.", examples=[[-5, 5]]
    )
    x_label: Annotated[str, _text(60, 0)] = Field(
        default="", description="Under the x axis.", examples=["time in seconds"]
    )
    y_label: Annotated[str, _text(60, 0)] = Field(
        default="", description="Above the y axis.", examples=["height in metres"]
    )

    @model_validator(mode="after")
    def _one_kind(self) -> PlotScene:
        kinds = [bool(self.functions), bool(self.points), bool(self.bars)]
        if not any(kinds):
            raise ValueError("a plot needs functions, points or bars")
        if self.bars and sum(kinds) > 1:
            raise ValueError("bars stand alone: make a second plot for the curve or the points")
        for name in ("x_range", "y_range"):
            span = getattr(self, name)
            if span is not None and not span[1] - span[0] > 1e-9 * max(map(abs, span)):
                raise ValueError(f"{name} must go from the smaller number to the larger")
        points = [(point.x, point.y) for point in self.points]
        maths.check_plot(self.functions, points, self.connect, self.x_range, self.y_range)
        return self


class Node(_Part):
    """A box of a diagram."""

    id: NodeId = Field(description="Its name in edges; letters, digits, _ and -.", examples=["sun"])
    label: Label = Field(description="The text in the box.", examples=["Sunlight"])


class Edge(_Part):
    """An arrow of a diagram."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: NodeId = Field(alias="from", description="The id of its first node.", examples=["sun"])
    target: NodeId = Field(alias="to", description="The id of its last node.", examples=["leaf"])
    label: Annotated[str, _text(40, 0)] = Field(
        default="", description="A word beside the arrow.", examples=["feeds"]
    )


class DiagramScene(_Scene):
    """Boxes and arrows that appear one after another."""

    type: Literal["diagram"] = Field(default="diagram", description="Kind of scene.")
    heading: Heading = Field(
        default="", description="The line above.", examples=["How a leaf makes sugar"]
    )
    nodes: tuple[Node, ...] = Field(
        min_length=1,
        max_length=16,
        description="The boxes.",
        examples=[[{"id": "sun", "label": "Sunlight"}, {"id": "leaf", "label": "Leaf"}]],
    )
    edges: tuple[Edge, ...] = Field(
        default=(),
        max_length=32,
        description="The arrows between them.",
        examples=[[{"from": "sun", "to": "leaf"}]],
    )
    direction: Literal["auto", "right", "down"] = Field(
        default="auto",
        description="Where the arrows lead; auto: along the longer side of the frame.",
        examples=["auto"],
    )

    @model_validator(mode="after")
    def _edges_join_nodes(self) -> DiagramScene:
        edges = [(edge.source, edge.target) for edge in self.edges]
        maths.check_diagram([node.id for node in self.nodes], edges)
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


class TableScene(_Scene):
    """A table whose rows appear one after another."""

    type: Literal["table"] = Field(default="table", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["Parts"])
    header: tuple[Cell, ...] = Field(
        min_length=1,
        max_length=6,
        description="The names of the columns; a name may be empty.",
        examples=[["Part", "What it does"]],
    )
    rows: tuple[tuple[Cell, ...], ...] = Field(
        min_length=1,
        max_length=12,
        description="The rows; each has as many cells as the header.",
        examples=[[["Nucleus", "keeps the plan"]]],
    )

    @model_validator(mode="after")
    def _rows_fit(self) -> TableScene:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.header):
                raise ValueError(
                    f"row {number} has {len(row)} cells, not {len(self.header)}"
                )
        return self


class CodeScene(_Scene):
    """Code as it is written, in a typewriter's type; the voice does not read it."""

    type: Literal["code"] = Field(default="code", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["An example"])
    code: Annotated[str, StringConstraints(min_length=1, max_length=2400)] = Field(
        description="The code; its lines and indentation stay.", examples=["print(1)"]
    )
    language: Annotated[str, _text(40, 0)] = Field(
        default="",
        description="The name of its language, which chooses its colors; unknown: no colors.",
        examples=["python"],
    )
    caption: Annotated[str, _text(240, 0)] = Field(
        default="", description="A line below.", examples=["loops.py"]
    )

    @model_validator(mode="after")
    def _has_ink(self) -> CodeScene:
        if not self.code.strip():
            raise ValueError("the code is empty")
        return self


class QuoteScene(_Scene):
    """The words of somebody else, or a note set apart."""

    type: Literal["quote"] = Field(default="quote", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["A motto"])
    label: Annotated[str, _text(40, 0)] = Field(
        default="", description="The kind of note, above it.", examples=["Tip"]
    )
    quotes: tuple[Line, ...] = Field(
        min_length=1,
        max_length=12,
        description="Its paragraphs.",
        examples=[["The nucleus keeps the plan."]],
    )


class PictureScene(_Scene):
    """One of the pictures given with the lesson."""

    type: Literal["picture"] = Field(default="picture", description="Kind of scene.")
    heading: Heading = Field(default="", description="The line above.", examples=["A leaf"])
    image: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$", max_length=64)] = Field(
        description="The name under which the picture was given; never a path.", examples=["leaf"]
    )
    caption: Annotated[str, _text(240, 0)] = Field(
        default="", description="A line below.", examples=["Seen from below"]
    )


class QuizScene(_Scene):
    """A question, a pause to think, the answer."""

    type: Literal["quiz"] = Field(default="quiz", description="Kind of scene.")
    question: Annotated[str, _text(300)] = Field(
        description="What is asked.", examples=["Which side is the longest?"]
    )
    choices: tuple[Annotated[str, _text(160)], ...] = Field(
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


class LeftOut(_Part):
    """Words of the source that the lesson neither shows nor says."""

    lines: tuple[SourceLine, SourceLine] | None = Field(
        default=None,
        description="The first and the last line of the source they stand on, where it is known.",
        examples=[[1, 4]],
    )
    text: str = Field(description="The words.", examples=["theme: gaia"])
    reason: str = Field(description="Why they are left out.", examples=["front matter"])


class Lesson(_Part):
    """A whole lesson: the scenes in the order they are shown."""

    title: Annotated[str, _text(MAX_HEADING)] = Field(
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
        max_length=5000,
        description="What of the source is neither shown nor said, and why; written by the"
        " generator and not drawn.",
        examples=[[]],
    )
