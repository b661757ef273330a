"""Parse LaTeX-like or plain formulas into a tree that the typesetter draws.

User input never becomes source code of any language. The parser rejects unknown commands.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from models.formulas import symbols as names
from models.formulas.commands import Commands
from models.formulas.environments import ROW_END
from models.formulas.errors import FormulaError
from models.formulas.tree import (
    EMPTY,
    MAX_NODES,
    MAX_TREE_DEPTH,
    Formula,
    applies,
    measure,
    symbols,
    without_brackets,
)

MAX_LENGTH = 5000  # characters of a whole formula
_MAX_DEPTH = 16
_INFIX = {
    "\\over": "frac", "\\choose": "binom", "\\atop": "rows", "\\brack": "frac", "/": "",
}  # fmt: skip
_ALONE = re.compile(r"[+\-−*±∓](?![\w(\\{.])|[+*±∓](?=[A-Za-z\\])")


def parse_formula(source: str) -> Formula:
    """Parse ``source``: ``\\frac{a}{b}``, ``x_1^2``, ``(a+b)/c``, ``sqrt(x)``, ``>=``...

    ``&`` and ``\\\\`` outside of everything leave ``["amp"]`` and ``["newline"]`` in the sequence.

    Raises:
        FormulaError: the source is no formula known here; the message says where.
    """
    return parsed(source).tree


@dataclass(frozen=True)
class Parsed:
    """A parsed formula. ``source`` is its text in composed form; ``signs`` are the positions of
    the relations and operators between its terms, ``rows`` those where a new row begins.
    """

    source: str
    tree: Formula
    signs: tuple[int, ...]
    rows: tuple[int, ...]


def parsed(source: str) -> Parsed:
    """Parse ``source``, and find where it can be divided.

    Raises:
        FormulaError: as :func:`parse_formula`.
    """
    if len(source) > MAX_LENGTH:
        raise FormulaError(f"a formula has at most {MAX_LENGTH} characters: make several of it")
    reader = FormulaParser(unicodedata.normalize("NFC", source))
    stripped = reader.source.strip()
    if stripped[:1] == "$" and stripped[-1:] == "$" and len(stripped.strip("$")) > 0:
        reader = FormulaParser(reader.source.replace("$", " "))
    rows = reader.rows()
    if not reader.done():
        raise reader.error(f"{reader.closing()!r} closes nothing")
    tree: Formula = ["seq"]
    for number, row in enumerate(rows):
        tree += [["newline"]] if number else []
        for place, cell in enumerate(row):
            tree += [["amp"]] if place else []
            tree += cell[1:]
    if all(part in (["newline"], ["amp"]) for part in tree[1:]):
        raise FormulaError("the formula is empty: write it, or leave its dollar signs out")
    deepest, count = measure(tree)
    if deepest > MAX_TREE_DEPTH:
        raise FormulaError("the formula is nested too deeply: name a part of it, and use the name")
    if count > MAX_NODES:
        raise FormulaError("the formula has too many parts: make several of it")
    return Parsed(reader.source, tree, tuple(reader.breaks), tuple(reader.row_starts))


class FormulaParser(Commands):
    """A recursive descent parser over characters; ``depth`` bounds the nesting."""

    def rows(self) -> list[list[Formula]]:
        """Rows of cells, up to what closes them."""
        rows: list[list[Formula]] = [[]]
        while True:
            rows[-1].append(self.sequence(""))
            if self.take_match(ROW_END):
                self.row_starts.append(self.at)
                rows.append([])
            elif not self.take("&"):
                break
        if rows[-1] == [EMPTY] and len(rows) > 1:
            rows.pop()  # after a last \\
            self.row_starts.pop()
        return rows

    def sequence(self, until: str) -> Formula:
        self.enter()
        parts: list[Formula] = []
        self.skip_space()
        while not self.at_end_of(until):
            start = self.at
            infix = next((name for name in _INFIX if self.take(name)), "")
            if infix == "/" and not (parts and self.source[self.at :].strip()):
                parts.append(["sym", "/"])
            elif infix == "/":
                self.fraction(parts)
            elif infix:
                parts = [self.divided(infix, parts, until)]
            elif switch := self.switch():
                parts.append(["style", switch, self.sequence(until)])
            else:
                parts.append(self.scripted())
                if self.depth == 1 and len(parts) > 1 and _divides(parts):
                    self.breaks.append(start)
            self.skip_space()
        self.depth -= 1
        return ["seq", *parts]

    def divided(self, infix: str, parts: list[Formula], until: str) -> Formula:
        if self.depth == 1:
            self.breaks.clear()
        above, below = ["seq", *parts], self.sequence(until)
        if infix == "\\atop":
            return ["rows", [[above], [below]], 0.2]
        return [_INFIX[infix], above, below]

    def fraction(self, parts: list[Formula]) -> None:
        """After a slash: what stands before it becomes the fraction's upper part."""
        self.skip_space()
        differential = self.source[self.at :].startswith(("d", "\\partial", "∂"))
        below = self.scripted()
        if differential and below in (["sym", "d"], ["sym", "∂"]) and not self.at_end_of(")]"):
            below = ["seq", below, self.scripted()]
        # In f(x)/2 and sin(x)/x what is applied goes above the line whole, and so does dy.
        whole = len(parts) > 1 and (
            (parts[-1][0] == "lr" and applies(parts[-2]))
            or (differential and _is_differential(parts[-2]))
        )
        above = ["seq", *parts[-2:]] if whole else without_brackets(parts[-1])
        parts[-2 if whole else -1 :] = [["frac", above, without_brackets(below)]]

    def scripted(self) -> Formula:
        """Parse an atom with its subscript and superscript."""
        limits = False
        if self.peek() in "_^'" and self.peek():
            base: Formula = EMPTY
        else:
            base, limits = self.atom()
        below = above = None
        primes = 0
        while True:
            self.skip_space()
            if self.take("'") or self.take("’") or self.take("′"):
                primes += 1
            elif self.take("\\limits"):
                limits = True
            elif self.take("\\nolimits"):
                limits = False
            elif self.peek() == "^" or self.source.startswith("**", self.at):
                self.at += 1 if self.peek() == "^" else 2
                if above is not None:
                    raise self.error("two powers on one thing: use braces, {a^b}^c or a^{b^c}")
                above = self.script()
            elif self.take("_"):
                if below is not None:
                    raise self.error("two subscripts on one thing: use braces, a_{b_c}")
                below = self.script()
            else:
                break
        if primes:
            above = ["seq", *symbols("′" * primes)[1:], *([above] if above else [])]
        return ["attach", base, below, above, limits] if below or above else base

    def script(self) -> Formula:
        """One atom: in LaTeX's way a digit or letter, or plain: a number or (...) whole."""
        self.skip_space()
        if self.at_end_of(""):
            raise self.error("nothing follows ^ or _: write what stands there in braces, x^{2}")
        if alone := self.take_match(_ALONE):
            return ["sym", {"-": "−", "*": "∗"}.get(alone[0], alone[0])]
        if self.peek() in "-−+":
            sign = names.SIGNS.get(self.peek(), self.peek())
            self.at += 1
            return ["seq", ["sym", sign], without_brackets(self.atom()[0])]
        return without_brackets(self.atom()[0])

    def atom(self) -> tuple[Formula, bool]:
        """Parse the next atom; the flag tells whether its limits go above and below it."""
        char = self.peek()
        if char == "\\":
            return self.command()
        if char == "{":
            return self.group(), False
        if char.isascii() and char.isdigit():
            return self.number(), False
        if char.isascii() and char.isalpha():
            return self.word()
        if self.take("√"):
            return ["sqrt", without_brackets(self.argument_or_number())], False
        if self.at in self.pairs:
            return self.brackets(), False
        for sign, symbol in names.PLAIN_SIGNS:
            if self.take(sign):
                return ["sym", symbol], False
        if char in names.LARGE.values():
            self.at += 1
            return ["sym", char], char not in "∫∬∭∮∯∰⨌"
        return self.sign(), False

    def word(self) -> tuple[Formula, bool]:
        """Letters: a function's or a Greek letter's name, else one variable each."""
        end = self.at
        while self.source[end : end + 1].isascii() and self.source[end : end + 1].isalpha():
            end += 1
        word = self.source[self.at : end]
        if word in names.GREEK or word in names.PLAIN_NAMES:
            self.at = end
            return ["sym", names.GREEK.get(word) or names.PLAIN_NAMES[word]], False
        if word in names.FUNCTIONS or word in ("sum", "prod", "int"):
            return self.named(word, end)
        if word in ("sqrt", "cbrt", "abs") and self.source[end:].lstrip().startswith("("):
            self.at = end
            self.skip_space()
            inner = without_brackets(self.atom()[0])
            if word == "abs":
                return ["lr", "|", inner, "|"], False
            return ["sqrt", inner] if word == "sqrt" else ["root", ["num", "3"], inner], False
        self.at += 1
        return ["sym", word[0]], False

    def brackets(self) -> Formula:
        start, opening = self.at, self.peek()
        self.at += 1
        inner = self.sequence(")]")
        if self.at == self.pairs[start]:
            self.at += 1
            return ["lr", opening, inner, self.source[self.at - 1]]
        raise self.error(f"{opening!r} is not closed before this", self.at)

    def enter(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"it is nested more than {_MAX_DEPTH} deep: name a part of it")


def _divides(parts: list[Formula]) -> bool:
    """Return whether the last of ``parts`` is a sign between two things."""
    before, last = parts[-2], parts[-1]
    if last[0] != "sym" or last[1] not in names.RELATIONS | names.BINARY:
        return False
    sign = before[0] == "sym" and (before[1] in names.RELATIONS | names.BINARY | set(",;:"))
    return not sign and before[0] not in ("amp", "op")


def _is_differential(part: Formula) -> bool:
    """Return whether ``part`` is the d of dy, or of d²y."""
    return part in (["sym", "d"], ["sym", "∂"]) or (
        part[0] == "attach" and _is_differential(part[1])
    )
