"""Parse functions of x and evaluate them over numpy arrays; no input is executed as code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.slides.errors import BadFunction

Values = NDArray[np.float64]


_MAX_DEPTH = 40
_SAMPLES = 1201
_TOKEN = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-zπ]\w*)|(\*\*|[-+*/^(),|=−·×÷]))"
)
_SIGN_SYNONYMS = {"−": "-", "·": "*", "×": "*", "÷": "/", "**": "^"}
_CONSTANTS = {"pi": 3.141592653589793, "π": 3.141592653589793, "e": 2.718281828459045}
_UNARY_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos",
    "atan": "arctan", "arcsin": "arcsin", "arccos": "arccos", "arctan": "arctan", "sinh": "sinh",
    "cosh": "cosh", "tanh": "tanh", "exp": "exp", "ln": "log", "log": "log10", "log2": "log2",
    "sqrt": "sqrt", "cbrt": "cbrt", "abs": "abs", "sign": "sign", "floor": "floor", "ceil": "ceil",
}  # fmt: skip
_BINARY_FUNCTIONS = {"min": "minimum", "max": "maximum"}


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
    bare = re.sub(r"^\s*(y|[a-zA-Z]\s*\(\s*x\s*\))\s*=", "", source).strip()
    return Function(bare, _ExpressionParser(bare).whole())


def sample_curves(function: Function, low: float, high: float) -> list[tuple[Values, Values]]:
    """Sample ``function`` over ``low``..``high`` as continuous pieces (x, y), cut at poles and
    jumps.

    Each piece is two float64 arrays of shape (n,).

    Raises:
        BadFunction: the function is undefined in the whole range.
    """

    x = np.linspace(low, high, _SAMPLES)
    y = function(x)
    fine = np.isfinite(y) & (np.abs(y) < 1e12)
    if not fine.any():
        raise BadFunction(f"{function.source} has no value between {low:g} and {high:g}")
    jumps = _find_jumps(function, x, y, fine)
    ends = np.flatnonzero(~fine[:-1] | ~fine[1:] | jumps) + 1
    pieces = np.split(np.arange(_SAMPLES), ends)
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


class _ExpressionParser:
    """Sums of products of powers; a number or bracket beside a name multiplies it."""

    def __init__(self, source: str) -> None:
        self.tokens = _tokens(source)
        self.at = self.depth = 0

    def whole(self) -> Any:
        tree = self.sum()
        if self.at < len(self.tokens):
            raise BadFunction(f"{self.tokens[self.at]!r} is not expected there")
        return tree

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *signs: str) -> str:
        if self.peek() not in signs or not self.peek():
            return ""
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            raise BadFunction(f"a {sign!r} is missing")

    def sum(self) -> Any:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise BadFunction("it is nested too deeply")
        tree = self.product()
        while sign := self.take("+", "-"):
            tree = ("operation", sign, tree, self.product())
        self.depth -= 1
        return tree

    def product(self) -> Any:
        tree = self.signed()
        while True:
            if sign := self.take("*", "/"):
                tree = ("operation", sign, tree, self.signed())
            elif self.peek() and (self.peek() == "(" or self.peek()[0].isalnum()):
                tree = ("operation", "*", tree, self.power())
            else:
                return tree

    def signed(self) -> Any:
        negative = False
        while sign := self.take("+", "-"):
            negative ^= sign == "-"
        tree = self.power()
        return ("operation", "-", ("number", 0.0), tree) if negative else tree

    def power(self) -> Any:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise BadFunction("it is nested too deeply")
        base = self.atom()
        if self.take("^"):
            base = ("operation", "^", base, self.signed())
        self.depth -= 1
        return base

    def atom(self) -> Any:
        token = self.peek()
        if not token:
            raise BadFunction("it ends too early")
        self.at += 1
        if token == "(":
            inner = self.sum()
            self.expect(")")
            return inner
        if token == "|":
            inner = self.sum()
            self.expect("|")
            return ("call", "abs", inner)
        if token[0].isdigit() or token[0] == ".":
            return ("number", float(token))
        if token == "x":
            return ("x",)
        if token in _CONSTANTS:
            return ("number", _CONSTANTS[token])
        return self.call(token)

    def call(self, name: str) -> Any:
        if name in _UNARY_FUNCTIONS:
            if self.take("("):
                inner = self.sum()
                self.expect(")")
            else:
                inner = self.power()  # sin x
            return ("call", _UNARY_FUNCTIONS[name], inner)
        if name in _BINARY_FUNCTIONS:
            self.expect("(")
            tree = self.sum()
            while self.take(","):
                tree = ("call", _BINARY_FUNCTIONS[name], tree, self.sum())
            self.expect(")")
            return tree
        raise BadFunction(
            f"{name!r} is not known: x, pi, e and"
            f" {', '.join(sorted({*_UNARY_FUNCTIONS, *_BINARY_FUNCTIONS}))} are"
        )


def _tokens(source: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(source.rstrip()):
        match = _TOKEN.match(source, at)
        if not match:
            raise BadFunction(f"{source[at:].strip()[:1]!r} is not known")
        number, name, sign = match.groups()
        tokens += [number] if number else _names(name) if name else [_SIGN_SYNONYMS.get(sign, sign)]
        at = match.end()
    return tokens


def _names(word: str) -> list[str]:
    """Split ``word`` into known names: ``xsin`` is x times sin, ``pix`` is pi times x."""
    vocabulary = {*_UNARY_FUNCTIONS, *_BINARY_FUNCTIONS, *_CONSTANTS, "x"}
    if word in vocabulary:
        return [word]
    for size in range(len(word) - 1, 0, -1):
        if word[:size] in vocabulary and (rest := _names(word[size:]))[0] in vocabulary:
            return [word[:size], *rest]
    return [word]
