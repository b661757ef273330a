"""The scenes of a lesson script that are drawn from data: equations, plots, diagrams."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from models.schemas import maths
from models.schemas.scene_base import (
    FunctionOfX,
    Heading,
    Label,
    NodeId,
    Number,
    Part,
    SceneBase,
    Term,
    limited_text,
)


class EquationScene(SceneBase):
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
    caption: Annotated[str, limited_text(240, 0)] = Field(
        default="", description="A line below.", examples=["c is the side across the right angle"]
    )


class DataPoint(Part):
    """A point of a data plot."""

    x: Number = Field(description="To the right.", examples=[1.0])
    y: Number = Field(description="Upwards.", examples=[2.5])


class Bar(Part):
    """A bar of a bar chart."""

    label: Label = Field(description="Below the bar.", examples=["2024"])
    value: Number = Field(description="Its height; may be negative.", examples=[12.0])


class PlotScene(SceneBase):
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
    x_label: Annotated[str, limited_text(60, 0)] = Field(
        default="", description="Under the x axis.", examples=["time in seconds"]
    )
    y_label: Annotated[str, limited_text(60, 0)] = Field(
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


class Node(Part):
    """A box of a diagram."""

    id: NodeId = Field(description="Its name in edges; letters, digits, _ and -.", examples=["sun"])
    label: Label = Field(description="The text in the box.", examples=["Sunlight"])


class Edge(Part):
    """An arrow of a diagram."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: NodeId = Field(alias="from", description="The id of its first node.", examples=["sun"])
    target: NodeId = Field(alias="to", description="The id of its last node.", examples=["leaf"])
    label: Annotated[str, limited_text(40, 0)] = Field(
        default="", description="A word beside the arrow.", examples=["feeds"]
    )


class DiagramScene(SceneBase):
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
        description="Where the arrows lead; auto: along the longer side of the frame, and as the"
        " language runs.",
        examples=["auto"],
    )

    @model_validator(mode="after")
    def _edges_join_nodes(self) -> DiagramScene:
        edges = [(edge.source, edge.target) for edge in self.edges]
        maths.check_diagram([node.id for node in self.nodes], edges)
        return self
