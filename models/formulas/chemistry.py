"""Chemical formulas and equations, ``\\ce{2H2 + O2 -> 2H2O}``, after the LaTeX package mhchem."""

from __future__ import annotations

import re

from models.formulas.environments import Environments
from models.formulas.errors import FormulaError
from models.formulas.tree import EMPTY, Formula, symbols

_ARROW = re.compile(r"<=>>|<<=>|<=>|<-->|<->|->|<-|→|⇌|←|↔")
_ARROWS = {
    "->": "→", "<-": "←", "<->": "↔", "<-->": "↔", "<=>": "⇌", "<=>>": "⇌", "<<=>": "⇌",
}  # fmt: skip
_STATE = re.compile(r"\((s|l|g|aq|cr|am|sln|solid|liquid|gas)\)")
_COEFFICIENT = re.compile(r"(\d+(?:[./]\d+)?|\d*[nxym](?=\s*[A-Z(\[]))\s*(?=\S)")
_ELEMENT = re.compile(r"[A-Z][a-z]?(?![a-z])|[A-Z]|[a-z]+|[α-ωΑ-Ω]")
_CHARGE = re.compile(r"(\d*[+\-−]|[+\-−]\d*)(?=[\s)\]}^,.]|$|->|<|\((?:s|l|g|aq)\))")
_SUPER = re.compile(r"\^\{([^{}]*)\}|\^(\d*[+\-−*•.]|\d+|[IVX]+|[A-Za-z])")
_SUB = re.compile(r"_\{([^{}]*)\}|_(\d+|[A-Za-z])")
_DIGITS = re.compile(r"\d+")
_GAS = re.compile(r"\^(?=\s|$)|\(\^\)")
_PRECIPITATE = re.compile(r"v(?=\s|$)|\(v\)")
_BONDS = {"-": "−", "=": "=", "#": "≡", "~": "∼", "–": "−", "≡": "≡"}


class Chemistry(Environments):
    """``\\ce``, whose inside has a grammar of its own."""

    def nested_chemistry(self, source: str) -> Formula:
        """Parse what stands in the braces of ``\\ce``."""
        try:
            return _Reaction(source, self).whole()
        except FormulaError as error:
            start = self.at - 1 - len(source)
            # An error of a formula inside counts in that formula as it was rewritten.
            within = min(error.position, len(source))
            raise self.error(f"\\ce: {error.reason}", start + within) from error


class _Reaction:
    def __init__(self, source: str, formulas: Environments) -> None:
        self.source, self.at = source, 0
        self.formulas = formulas
        self.begins = True  # a species, whose number may stand here

    def error(self, reason: str) -> FormulaError:
        return FormulaError(reason, self.source, self.at)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.source, self.at)
        if found:
            self.at = found.end()
        return found

    def whole(self) -> Formula:
        parts: list[Formula] = []
        while self.at < len(self.source):
            parts += self.part(parts)
        if not parts:
            raise self.error("it is empty")
        return ["seq", *parts]

    def part(self, before: list[Formula]) -> list[Formula]:
        after_space = self.at == 0 or self.source[self.at - 1].isspace()
        if self.match(re.compile(r"\s+")):
            self.begins = True
            return []
        if arrow := self.match(_ARROW):
            self.begins = True
            above, below = self.bracketed(), self.bracketed()
            return [["arrow", _ARROWS.get(arrow[0], arrow[0]), above, below]]
        if after_space and self.match(_GAS):
            return [["space", 0.17], ["sym", "↑"]]
        if after_space and self.match(_PRECIPITATE):
            return [["space", 0.17], ["sym", "↓"]]
        if state := self.match(_STATE):
            return [["space", 0.1], ["style", "upright", symbols(f"({state[1]})")]]
        if after_space and self.match(re.compile(r"[+](?=\s|$)")):
            self.begins = True
            return [["binary", ["sym", "+"]]]
        if self.begins and (number := self.match(_COEFFICIENT)):
            self.begins = False
            return [_coefficient(number[1]), ["space", 0.12]]
        self.begins = False
        return self.species(before)

    def bracketed(self) -> Formula:
        """What stands above or below an arrow."""
        found = self.match(re.compile(r"\[((?:[^\[\]{}]|\{[^{}]*\})*)\]"))
        if not found:
            return EMPTY
        text = found[1]
        if text.startswith(("$", "\\")):
            return self.formulas.nested(text.strip("$"))
        if re.fullmatch(r"[A-Z0-9(\[][\w()\[\]+\-^{}]*|\S*\d\S*", text):
            return _Reaction(text, self.formulas).whole()
        return ["text", text, 400] if text.strip() else EMPTY

    def species(self, before: list[Formula]) -> list[Formula]:
        if self.source[self.at] in "^_" and (not before or before[-1][0] != "attach"):
            below, above = self.scripts()
            base = self.base() if self.at < len(self.source) else EMPTY
            plain = self.scripted(base)
            return [["before", plain, below, above]]
        char = self.source[self.at]
        if char in _BONDS and before:
            self.at += 1
            return [["plain", ["sym", _BONDS[char]]]]
        if char in ".*·•" and before:
            self.at += 1
            self.begins = True
            return [["sym", "⋅"]]
        return [self.scripted(self.base())]

    def base(self) -> Formula:
        char = self.source[self.at]
        if char in "([":
            return self.group()
        if char == "{":
            end = self.source.find("}", self.at)
            if end < 0:
                raise self.error("a { is never closed")
            text, self.at = self.source[self.at + 1 : end], end + 1
            return ["text", text, 400] if text.strip() else EMPTY
        if char == "$":
            end = self.source.find("$", self.at + 1)
            if end < 0:
                raise self.error("a $ is never closed")
            text, self.at = self.source[self.at + 1 : end], end + 1
            return self.formulas.nested(text)
        if char == "\\":
            found = self.match(re.compile(r"\\[A-Za-z]+\s?|\\."))
            assert found is not None or self.error("a \\ alone means nothing")
            return self.formulas.nested(found[0] if found else "")
        if element := self.match(_ELEMENT):
            return ["style", "upright", symbols(element[0])]
        if number := self.match(_DIGITS):
            return ["num", number[0]]
        if char in ",;:/|<>=!'→+-−…":
            self.at += 1
            return ["plain", ["sym", char.replace("-", "−")]]
        raise self.error(f"{char!r} is not known in a chemical formula")

    def group(self) -> Formula:
        opening, depth, end = self.source[self.at], 0, self.at
        while end < len(self.source):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(self.source[end], 0)
            if depth == 0:
                break
            end += 1
        else:
            raise self.error(f"a {opening} is never closed")
        inside = self.source[self.at + 1 : end]
        self.formulas.enter()  # bounds the nesting
        tree = _Reaction(inside, self.formulas).whole() if inside.strip() else EMPTY
        self.formulas.depth -= 1
        self.at = end + 1
        return ["lr", opening, tree, self.source[end]]

    def scripted(self, base: Formula) -> Formula:
        below, above = self.scripts()
        return ["attach", base, below, above, False] if below or above else base

    def scripts(self) -> tuple[Formula | None, Formula | None]:
        below = above = None
        while self.at < len(self.source):
            if above is None and (sup := self.match(_SUPER)):
                above = _script(sup[1] if sup[1] is not None else sup[2])
            elif below is None and (sub := self.match(_SUB)):
                below = _script(sub[1] if sub[1] is not None else sub[2])
            elif below is None and self.at and (digits := self.match(_DIGITS)):
                below = ["num", digits[0]]
            elif above is None and self.at and (charge := self.match(_CHARGE)):
                above = _script(charge[1])
            else:
                break
        return below, above


def _coefficient(number: str) -> Formula:
    above, slash, below = number.partition("/")
    if slash:
        return ["frac", ["num", above], ["num", below]]
    return ["num", number] if number[-1].isdigit() else ["seq", *symbols(number)[1:]]


def _script(text: str) -> Formula:
    return ["style", "upright", symbols(text.replace("-", "−").replace(" ", ""))]
