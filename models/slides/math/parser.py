"""Parse LaTeX-like or plain equations into a tree that the typesetter draws.

User input never becomes source code of any language. The parser rejects unknown commands.
"""

from __future__ import annotations

import unicodedata

from models.slides.errors import BadEquation
from models.slides.math import symbols as names
from models.slides.math.scanner import Scanner
from models.typesetting.plain_text import sanitize_text
from models.typesetting.typeset import Formula

"""``[kind, argument, ...]``; ``typeset.typ`` lists the kinds."""

_MAX_DEPTH = 12
_CLOSING = {"(": ")]", "[": ")]"}
_EMPTY: Formula = ["seq"]


def parse_formula(source: str) -> Formula:
    """The tree of ``source``: ``\\frac{a}{b}``, ``x_1^2``, ``(a+b)/c``, ``sqrt(x)``, ``>=``...

    Raises:
        BadEquation: it is no mathematics known here; the message says where.
    """
    reader = _FormulaParser(unicodedata.normalize("NFC", source).strip().strip("$"))
    tree = reader.sequence("")
    if not reader.done():
        raise reader.error(f"{reader.peek()!r} closes nothing")
    if len(tree) == 1:
        raise BadEquation("it is empty")
    return tree


class _FormulaParser(Scanner):
    """A recursive descent parser over characters; ``depth`` bounds the nesting."""

    def sequence(self, until: str) -> Formula:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"it is nested more than {_MAX_DEPTH} deep")
        parts: list[Formula] = []
        self.skip_space()
        while not self.at_end_of(until):
            if self.peek() == "/" and parts and self.fraction_follows():
                self.at += 1
                self.skip_space()
                below = self.scripted()
                # In f(x)/2 and sin(x)/x what is applied goes above the line whole.
                applied = len(parts) > 1 and parts[-1][0] == "lr" and _applies(parts[-2])
                above = ["seq", *parts[-2:]] if applied else _without_brackets(parts[-1])
                parts[-2 if applied else -1 :] = [["frac", above, _without_brackets(below)]]
            else:
                parts.append(self.scripted())
            self.skip_space()
        self.depth -= 1
        return ["seq", *parts]

    def fraction_follows(self) -> bool:
        return self.source[self.at + 1 :].strip() != ""

    def scripted(self) -> Formula:
        """Parse an atom with its subscript and superscript."""
        limits = False
        if self.peek() in "_^":
            base: Formula = _EMPTY
        else:
            base, limits = self.atom()
        below = above = None
        primes = 0
        while True:
            self.skip_space()
            if self.take("'"):
                primes += 1
            elif self.take("\\limits") or self.take("\\nolimits"):
                limits = self.source[self.at - 8 : self.at] != "nolimits"
            elif self.peek() == "^" or self.source.startswith("**", self.at):
                self.at += 1 if self.peek() == "^" else 2
                if above is not None:
                    raise self.error("two powers on one thing: use braces")
                above = self.script()
            elif self.take("_"):
                if below is not None:
                    raise self.error("two subscripts on one thing: use braces")
                below = self.script()
            else:
                break
        if primes:
            marks: list[Formula] = [["sym", "′"]] * primes
            above = ["seq", *marks, *([above] if above else [])]
        return ["attach", base, below, above, limits] if below or above else base

    def script(self) -> Formula:
        """One atom: in LaTeX's way a digit or letter, or plain: a number or (...) whole."""
        self.skip_space()
        if self.done():
            raise self.error("nothing follows ^ or _")
        if self.peek() in "-−+":
            sign = names.SIGNS.get(self.peek(), self.peek())
            self.at += 1
            return (
                ["seq", ["sym", sign], self.atom()[0]] if not self.at_end_of("") else ["sym", sign]
            )
        return _without_brackets(self.atom()[0])

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
            return ["sqrt", _without_brackets(self.argument_or_number())], False
        if char in _CLOSING and self.has_closing_bracket():
            return self.brackets(), False
        for sign, symbol in names.PLAIN_SIGNS:
            if self.take(sign):
                return ["sym", symbol], False
        return self.sign(), False

    def group(self) -> Formula:
        if not self.take("{"):
            raise self.error("a { is expected here")
        inner = self.sequence("}")
        if not self.take("}"):
            raise self.error("a { is never closed")
        return inner

    def argument(self) -> Formula:
        """A group, or the next atom alone: ``\\frac12``; plain ``sqrt(x)`` loses its brackets."""
        self.skip_space()
        if self.at_end_of(""):
            raise self.error("something is missing here")
        if self.peek().isdigit():
            self.at += 1
            return ["num", self.source[self.at - 1]]
        return self.atom()[0]

    def argument_or_number(self) -> Formula:
        self.skip_space()
        return self.number() if self.peek().isdigit() else self.argument()

    def number(self) -> Formula:
        start = self.at
        while self.peek().isascii() and self.peek().isdigit():
            self.at += 1
        after = self.source[self.at + 1 : self.at + 2]
        if self.peek() == "." and after.isascii() and after.isdigit():
            self.at += 1
            while self.peek().isascii() and self.peek().isdigit():
                self.at += 1
        return ["num", self.source[start : self.at]]

    def word(self) -> tuple[Formula, bool]:
        """Letters: a function's or a Greek letter's name, else one variable each."""
        end = self.at
        while self.source[end : end + 1].isascii() and self.source[end : end + 1].isalpha():
            end += 1
        word = self.source[self.at : end]
        if word in names.GREEK or word in names.PLAIN_NAMES:
            self.at = end
            return ["sym", names.GREEK.get(word) or names.PLAIN_NAMES[word]], False
        opened = self.source[end:].lstrip().startswith("(")
        if word in names.FUNCTIONS or (word in ("sum", "prod", "int") and len(word) > 2):
            return self.named(word, end)
        if opened and word in ("sqrt", "cbrt", "abs"):
            self.at = end
            self.skip_space()
            inner = _without_brackets(self.atom()[0])
            if word == "abs":
                return ["lr", "|", inner, "|"], False
            return ["sqrt", inner] if word == "sqrt" else ["root", ["num", "3"], inner], False
        self.at += 1
        return ["sym", word[0]], False

    def named(self, word: str, end: int) -> tuple[Formula, bool]:
        self.at = end
        if word in names.LARGE:
            return ["sym", names.LARGE[word]], word in names.LIMITS
        limits = word in names.FUNCTIONS_WITH_LIMITS
        return ["op", word, limits], limits

    def brackets(self) -> Formula:
        start, opening = self.at, self.peek()
        self.at += 1
        inner = self.sequence(")]")
        if self.peek() in (")", "]"):
            self.at += 1
            return ["lr", opening, inner, self.source[self.at - 1]]
        self.at = start + 1
        return ["sym", opening]

    def sign(self) -> Formula:
        char = self.peek()
        if char in ("&", "}", "#", "`", '"', "@", "$"):
            raise self.error(f"{char!r} means nothing here")
        self.at += 1
        if char in names.SIGNS:
            return ["sym", names.SIGNS[char]]
        kind = unicodedata.category(char)
        if kind in ("Sm", "So", "Po", "Pd") or "\u0370" <= char <= "\u03ff":
            return ["sym", char]
        if kind[0] in "LMN":
            start = self.at - 1
            while (
                self.peek()
                and unicodedata.category(self.peek())[0] in "LMN"
                and ord(self.peek()) > 127
            ):
                self.at += 1
            return ["text", sanitize_text(self.source[start : self.at])]
        raise self.error(f"{char!r} is no mathematics")

    def command(self) -> tuple[Formula, bool]:
        self.at += 1
        end = self.at
        while self.source[end : end + 1].isascii() and self.source[end : end + 1].isalpha():
            end += 1
        name = self.source[self.at : end] or self.peek()
        self.at = max(end, self.at + 1)
        if name in names.FUNCTIONS or name in names.LARGE:
            return self.named(name, self.at)
        for table in (names.GREEK, names.SYMBOLS):
            if name in table:
                return ["sym", table[name]], False
        if name in ("overbrace", "underbrace"):
            return [name, self.argument()], True
        return self.construct(name), False

    def construct(self, name: str) -> Formula:
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            return ["frac", self.argument(), self.argument()]
        if name == "binom":
            return ["binom", self.argument(), self.argument()]
        if name == "sqrt":
            return self.root()
        if name in ("text", "textrm", "mbox"):
            return self.text(self.raw_argument())
        if name == "operatorname":
            return ["op", self.letters(self.raw_argument()), False]
        if name in names.ACCENTS:
            return ["accent", names.ACCENTS[name], self.argument()]
        if name in names.LINES:
            return [names.LINES[name], self.argument()]
        if name in names.STYLES:
            return ["style", names.STYLES[name], self.argument()]
        if name in names.SPACES:
            return ["space", names.SPACES[name]]
        if name in names.WITHOUT_EFFECT:
            return _EMPTY
        if name in ("{", "}", "%", "#", "&", "$", "_", "|"):
            return ["sym", "‖" if name == "|" else name]
        if name == "left":
            return self.fenced()
        if name == "begin":
            return self.environment()
        raise self.error(f"the command \\{name} is not known")

    def root(self) -> Formula:
        self.skip_space()
        if not self.take("["):
            return ["sqrt", _without_brackets(self.argument())]
        degree = self.sequence("]")
        if not self.take("]"):
            raise self.error("a [ is never closed")
        return ["root", degree, self.argument()]

    def text(self, text: str) -> Formula:
        # Spaces at its ends part the words from the mathematics around them.
        content = sanitize_text(text)
        before = [["space", 0.28]] if text[:1].isspace() else []
        after = [["space", 0.28]] if text[-1:].isspace() else []
        return ["seq", *before, ["text", content], *after] if content else ["space", 0.28]

    def letters(self, text: str) -> str:
        if not text.strip().replace(" ", "").isalnum():
            raise self.error("a function's name has letters and digits only")
        return sanitize_text(text)

    def fenced(self) -> Formula:
        opening = self.delimiter()
        inner = self.sequence("")
        if not self.take("\\right"):
            raise self.error("\\left has no \\right")
        return ["lr", opening, inner, self.delimiter()]

    def delimiter(self) -> str:
        self.skip_space()
        if self.take("."):
            return ""
        if self.peek() == "\\":
            symbol = self.command()[0]
        else:
            symbol = ["sym", self.peek()]
            self.at += 1
        sign = symbol[1] if symbol[0] == "sym" else ""
        sign = {"<": "⟨", ">": "⟩"}.get(sign, sign)
        if not sign or sign not in names.DELIMITERS:
            raise self.error("a bracket is expected here")
        return str(sign)

    def environment(self) -> Formula:
        name = self.raw_argument().strip()
        if name not in names.MATRICES and name != "cases":
            raise self.error(f"the environment {name!r} is not known")
        rows: list[list[Formula]] = [[]]
        while True:
            rows[-1].append(self.sequence(""))
            if self.take("\\\\"):
                rows.append([])
            elif not self.take("&"):
                break
        if not self.take("\\end") or self.raw_argument().strip() != name:
            raise self.error(f"\\begin{{{name}}} has no \\end{{{name}}}")
        if len(rows[-1]) == 1 and len(rows[-1][0]) == 1 and len(rows) > 1:
            rows.pop()  # after a last \\
        widest = max(map(len, rows))
        if widest > 10 or len(rows) > 10:
            raise self.error("at most ten rows and ten columns")
        if name == "cases":
            return ["cases", rows]
        return ["mat", list(names.MATRICES[name]), [r + [_EMPTY] * (widest - len(r)) for r in rows]]


def _without_brackets(part: Formula) -> Formula:
    """Remove round brackets that a fraction, a root or a power makes redundant."""
    return part[2] if part[0] == "lr" and part[1] == "(" and part[3] == ")" else part


def _applies(part: Formula) -> bool:
    """Return whether ``part`` before brackets is a function or a factor, which keeps them."""
    return (
        part[0] == "op"
        or (part[0] == "sym" and str(part[1]).isalpha())
        or (part[0] == "attach" and _applies(part[1]))
    )


def formula_texts(tree: Formula) -> str:
    """Return every text and symbol in ``tree``, for the check that the fonts have them."""
    if tree and tree[0] in ("text", "op") and isinstance(tree[1], str):
        return str(tree[1])
    return "".join(formula_texts(part) for part in tree if isinstance(part, list))
