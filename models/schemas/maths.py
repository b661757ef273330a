"""Check the mathematics in a lesson's script: what cannot be drawn is refused with its place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from models.formulas.errors import FormulaError, FunctionError, GraphError
from models.formulas.functions import (
    Range,
    data_span,
    parse_expression,
    require_visible,
    segment_is_seen,
)
from models.formulas.graphs import number_nodes
from models.formulas.terms import require_term

_MAX_OPERATIONS = 60_000  # of one plot's functions, which takes some 15 ms
_DEFAULT_SPAN: Range = (-10.0, 10.0)


def problem(kind: str, reason: str) -> PydanticCustomError:
    # The reason quotes what was sent: braces in it are no placeholders.
    context: dict[str, Any] = {"reason": reason}
    return PydanticCustomError(kind, "{reason}", context)  # type: ignore[arg-type, unused-ignore]


def check_term(term: str) -> str:
    """Return ``term``, a part of an equation.

    Raises:
        PydanticCustomError: ``formula``: it cannot be set; the message says where and why.
    """
    try:
        require_term(term)
    except FormulaError as error:
        raise problem("formula", str(error)) from error
    return term


def check_function(source: str) -> str:
    """Return ``source``, a function of x.

    Raises:
        PydanticCustomError: ``function``: it is none known here.
    """
    try:
        parse_expression(source)
    except FunctionError as error:
        raise problem("function", f"{source!r} is no function of x: {error}") from error
    return source


def check_plot(
    functions: Iterable[str],
    points: Sequence[tuple[float, float]],
    connect: bool,
    x_range: Range | None,
    y_range: Range | None,
) -> None:
    """Check that each function, and the points, show in the ranges.

    Raises:
        PydanticCustomError: ``plot``: one does not; the message names it.
    """
    span = x_range or data_span([x for x, _ in points]) or _DEFAULT_SPAN
    left = _MAX_OPERATIONS
    try:
        for source in functions:
            if left > 0:
                left = require_visible(parse_expression(source), span, y_range, left)
    except FunctionError as error:
        raise problem("plot", str(error)) from error
    if points and not _points_are_seen(points, connect, span, y_range):
        raise problem(
            "plot", "no point lies in x_range and y_range: choose other ranges, or leave them out"
        )


def _points_are_seen(
    points: Sequence[tuple[float, float]], connect: bool, x_range: Range, y_range: Range | None
) -> bool:
    low, high = y_range or (-float("inf"), float("inf"))
    if any(x_range[0] <= x <= x_range[1] and low <= y <= high for x, y in points):
        return True
    ordered = sorted(points) if connect else []
    return any(segment_is_seen(a, b, (low, high)) for (_, a), (_, b) in itertools.pairwise(ordered))


def check_diagram(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> None:
    """Check the ids of a diagram's ``nodes``, and those that its ``edges`` name.

    Raises:
        PydanticCustomError: ``diagram``: one is missing or used twice.
    """
    try:
        number_nodes(nodes, edges)
    except GraphError as error:
        raise problem("diagram", str(error)) from error
