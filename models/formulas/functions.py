"""Parse functions of x, and look where they have values; no input is executed as code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.formulas.errors import FunctionError

SAMPLES = 1201  # over the range of a plot
MAX_VALUE = 1e12  # beyond it a value is not drawn
_MAX_DEPTH = 40
_MAX_LENGTH = 300
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
class ParsedFunction:
    """``source`` is the input without ``y =``; ``tree`` what :func:`value_at` computes."""

    source: str
    tree: Any


def parse_expression(source: str) -> ParsedFunction:
    """Parse ``source``: ``sin(x)*x``, ``2x^2 - 1``, ``y = |x|``.

    Raises:
        FunctionError: the source is no function; the message says why.
    """
    if len(source) > _MAX_LENGTH:
        raise FunctionError(f"a function has at most {_MAX_LENGTH} characters")
    bare = re.sub(r"^\s*(y|[a-zA-Z]\s*\(\s*x\s*\))\s*=", "", source).strip()
    return ParsedFunction(bare, _ExpressionParser(bare).whole())


Range = tuple[float, float]


def data_span(values: Sequence[float]) -> Range | None:
    """Return the range that ``values`` take with a margin; ``None`` where there are none."""
    if not values:
        return None
    low, high = min(values), max(values)
    edge = (high - low) * 0.04 or max(abs(high) * 0.5, 1.0)
    return low - edge, high + edge


def segment_is_seen(a: float, b: float, span: Range) -> bool:
    """Return whether a line from height ``a`` to ``b`` has a length within ``span``."""
    low, high = min(a, b), max(a, b)
    return span[0] <= low <= span[1] if low == high else high > span[0] and low < span[1]


def _is_seen(compute: Compute, left: float, right: float, ends: Range, span: Range) -> bool:
    """Return whether the function is within ``span`` between two samples: not if it jumps."""
    first, last = ends
    if not segment_is_seen(first, last, span):
        return False
    if any(span[0] <= end <= span[1] for end in ends):
        return True
    for _ in range(40):
        middle = (left + right) / 2
        value = compute(middle)
        if span[0] <= value <= span[1]:
            return True
        if math.isnan(value):
            return False
        if (value > span[1]) == (first > span[1]):
            left = middle
        else:
            right = middle
    return False


Compute = Callable[[float], float]


def require_visible(
    function: ParsedFunction, x_range: Range, y_range: Range | None, budget: int
) -> int:
    """Check that some of ``function`` is in the ranges, with at most ``budget`` operations.

    Returns:
        What is left of the budget; at 0 nothing more is checked.

    Raises:
        FunctionError: it has no values between the ends of ``x_range``, or none in ``y_range``.
    """
    compute, cost = _compiled(function.tree)
    low, high = x_range
    before = math.nan
    defined = False
    for index in range(SAMPLES):
        budget -= cost
        if budget <= 0:
            return 0
        y = compute(low + (high - low) * index / (SAMPLES - 1))
        if not (math.isfinite(y) and abs(y) < MAX_VALUE):
            y = math.nan
        if not (math.isnan(y) or math.isnan(before)):
            defined = True
            x = low + (high - low) * index / (SAMPLES - 1)
            step = (high - low) / (SAMPLES - 1)
            if y_range is None or _is_seen(compute, x - step, x, (before, y), y_range):
                return budget
        before = y
    if not defined:
        raise FunctionError(
            f"{function.source} has no value between {low:g} and {high:g}: choose another range"
        )
    assert y_range is not None  # or the function was seen
    raise FunctionError(
        f"{function.source} is never between {y_range[0]:g} and {y_range[1]:g} for x between"
        f" {low:g} and {high:g}: choose another y range, or leave it out"
    )


def _compiled(tree: Any) -> tuple[Compute, int]:
    """Return ``tree`` as a function of one number, and how many operations it takes."""
    kind = tree[0]
    if kind == "number":
        number = float(tree[1])
        return lambda x: number, 1
    if kind == "x":
        return lambda x: x, 1
    parts = [_compiled(part) for part in tree[2:]]
    cost = 1 + sum(cost for _, cost in parts)
    inner = [compute for compute, _ in parts]
    apply = (_CALLS if kind == "call" else _OPERATIONS)[tree[1]]

    def compute(x: float) -> float:
        try:
            return float(apply(*(part(x) for part in inner)))
        except (ValueError, TypeError):
            return math.nan

    return compute, cost


def _overflowing(call: Callable[[float], float], negative: bool = False) -> Callable[..., float]:
    """Infinite where the value is too large for a float, as in numpy."""

    def value(x: float) -> float:
        try:
            return call(x)
        except OverflowError:
            return -math.inf if negative and x < 0 else math.inf

    return value


def _rounded(call: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: call(x) if math.isfinite(x) else x


def _logarithm(call: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: -math.inf if x == 0 else call(x)


def _quotient(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)
    return a / b


def _power(base: float, exponent: float) -> float:
    odd = round(1 / exponent) if 0 < abs(exponent) < 1 and math.isfinite(1 / exponent) else 0
    if odd % 2 == 1 and abs(1 / exponent - odd) < 1e-9:
        return math.copysign(_raise(abs(base), exponent), base)
    return _raise(base, exponent)


def _raise(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:  # a negative power of zero, or a root of something negative
        return math.inf if base == 0 else math.nan


def _propagating(choose: Callable[[float, float], float]) -> Callable[[float, float], float]:
    """Undefined where either value is, as numpy's minimum and maximum are."""
    return lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else choose(a, b)


_OPERATIONS: dict[str, Callable[..., float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _quotient,
    "^": _power,
}
# By their names in numpy, which the plot is computed with.
_CALLS: dict[str, Callable[..., float]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "arcsin": math.asin, "arccos": math.acos,
    "arctan": math.atan, "sinh": _overflowing(math.sinh, negative=True),
    "cosh": _overflowing(math.cosh), "tanh": math.tanh, "exp": _overflowing(math.exp),
    "log": _logarithm(math.log), "log10": _logarithm(math.log10),
    "log2": _logarithm(math.log2), "sqrt": math.sqrt, "cbrt": math.cbrt, "abs": abs,
    "sign": lambda a: math.nan if math.isnan(a) else (a > 0) - (a < 0),
    "floor": _rounded(math.floor), "ceil": _rounded(math.ceil),
    "minimum": _propagating(min), "maximum": _propagating(max),
}  # fmt: skip


class _ExpressionParser:
    """Sums of products of powers; a number or bracket beside a name multiplies it."""

    def __init__(self, source: str) -> None:
        self.tokens = _tokens(source)
        self.at = self.depth = 0

    def whole(self) -> Any:
        tree = self.sum()
        if self.at < len(self.tokens):
            raise FunctionError(f"{self.tokens[self.at]!r} is not expected there")
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
            raise FunctionError(f"a {sign!r} is missing")

    def sum(self) -> Any:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise FunctionError("it is nested too deeply")
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
            raise FunctionError("it is nested too deeply")
        base = self.atom()
        if self.take("^"):
            base = ("operation", "^", base, self.signed())
        self.depth -= 1
        return base

    def atom(self) -> Any:
        token = self.peek()
        if not token:
            raise FunctionError("it ends too early")
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
        raise FunctionError(
            f"{name!r} is not known: x, pi, e and"
            f" {', '.join(sorted({*_UNARY_FUNCTIONS, *_BINARY_FUNCTIONS}))} are"
        )


def _tokens(source: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(source.rstrip()):
        match = _TOKEN.match(source, at)
        if not match:
            raise FunctionError(f"{source[at:].strip()[:1]!r} is not known")
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
