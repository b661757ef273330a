"""Evaluate functions of x over numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.formulas.errors import FunctionError
from models.formulas.functions import MAX_VALUE, SAMPLES, parse_expression
from models.slides.errors import BadFunction

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Function:
    """A parsed function of ``x``; ``source`` is the input without ``y =``."""

    source: str
    _tree: Any

    def __call__(self, x: Values) -> Values:
        """Evaluate at ``x``, float64 of shape (n,); undefined points are NaN or infinite."""

        with np.errstate(all="ignore"):
            return np.broadcast_to(_evaluate(self._tree, x), x.shape).astype(np.float64)


def parse_function(source: str) -> Function:
    """Parse ``source``: ``sin(x)*x``, ``2x^2 - 1``, ``y = |x|``.

    Raises:
        BadFunction: the source is no function; the message says why.
    """
    try:
        parsed = parse_expression(source)
    except FunctionError as error:
        raise BadFunction(str(error)) from error
    return Function(parsed.source, parsed.tree)


def sample_curves(function: Function, low: float, high: float) -> list[tuple[Values, Values]]:
    """Sample ``function`` over ``low``..``high`` as continuous pieces (x, y), cut at poles and
    jumps.

    Each piece is two float64 arrays of shape (n,).

    Raises:
        BadFunction: the function is undefined in the whole range.
    """

    x = np.linspace(low, high, SAMPLES)
    y = function(x)
    fine = np.isfinite(y) & (np.abs(y) < MAX_VALUE)
    if not (fine[1:] & fine[:-1]).any():
        raise BadFunction(f"{function.source} has no value between {low:g} and {high:g}")
    jumps = _find_jumps(function, x, y, fine)
    ends = np.flatnonzero(~fine[:-1] | ~fine[1:] | jumps) + 1
    pieces = np.split(np.arange(SAMPLES), ends)
    smooth = [piece[fine[piece]] for piece in pieces]
    return [(x[piece], y[piece]) for piece in smooth if len(piece) > 1]


def _find_jumps(
    function: Function, x: Values, y: Values, fine: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Find the samples between which the function jumps: the steeper half keeps the whole rise."""

    usable = y[fine]
    span = float(np.subtract(*np.percentile(usable, [90, 10]))) or 1.0
    rise = np.where(fine[:-1] & fine[1:], np.abs(np.diff(np.where(fine, y, 0.0))), 0.0)
    suspect = np.flatnonzero(rise > 0.05 * abs(span))
    leaps = np.zeros(len(x) - 1, np.bool_)
    if not len(suspect):
        return leaps
    left, right = x[suspect], x[suspect + 1]
    first, last = y[suspect], y[suspect + 1]
    whole = np.abs(last - first)
    for _ in range(24):
        middle = (left + right) / 2
        value = function(middle)
        defined = np.isfinite(value)
        go_right = defined & (np.abs(last - value) >= np.abs(value - first))
        left, first = np.where(go_right, middle, left), np.where(go_right, value, first)
        right, last = np.where(go_right, right, middle), np.where(go_right, last, value)
    leaps[suspect] = ~np.isfinite(last - first) | (np.abs(last - first) > 0.5 * whole)
    return leaps


def _evaluate(tree: Any, x: Values) -> Any:

    kind = tree[0]
    if kind == "number":
        return np.float64(tree[1])
    if kind == "x":
        return x
    arguments = [_evaluate(part, x) for part in tree[2:]]
    if kind == "call":
        return getattr(np, tree[1])(*arguments)
    a, b = arguments
    return _OPERATIONS[tree[1]](a, b)


def _power(base: Any, exponent: Any) -> Any:
    """Raise to a power, with real odd roots of negative numbers: x^(1/3) is defined everywhere."""

    odd = np.round(1 / exponent) if np.ndim(exponent) == 0 and 0 < abs(exponent) < 1 else 0
    if odd % 2 == 1 and abs(1 / exponent - odd) < 1e-9:
        return np.sign(base) * np.power(np.abs(base), exponent)
    return np.power(base, exponent)


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": _power,
}
