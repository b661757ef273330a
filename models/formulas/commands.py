"""What stands behind a backslash in a formula, groups, numbers and single signs."""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import lru_cache

from models.formulas import symbols as names
from models.formulas.chemistry import Chemistry
from models.formulas.tree import EMPTY, Formula, symbols, without_brackets
from models.formulas.units import Units

_FRACTIONS = {"frac": False, "tfrac": False, "dfrac": True, "cfrac": True, "sfrac": False,
              "nicefrac": False}  # fmt: skip
_BINOMIALS = ("binom", "dbinom", "tbinom")
_STACKED = ("overset", "stackrel", "underset")
_ESCAPED = "{}%#&$_|"
_HINTS = {
    "newcommand": "definitions are not read: write the formula out",
    "def": "definitions are not read: write the formula out",
    "DeclareMathOperator": "definitions are not read: use \\operatorname{name}",
    "includegraphics": "use a picture scene",
    "verb": "use \\text{...}",
    "url": "use \\text{...}",
    "href": "use \\text{...}",
    "ref": "write the number itself",
    "eqref": "write the number itself",
    "cite": "use \\text{...}",
    "item": "make a list of it, outside of the formula",
}


class Commands(Chemistry, Units):
    """The commands; the grammar around them is :class:`~models.formulas.parser.FormulaParser`."""

    def command(self) -> tuple[Formula, bool]:
        start = self.at
        name = self.command_name()
        if name in names.COMMAND_FUNCTIONS or name in names.FUNCTIONS or name in names.LARGE:
            return self.named(name, self.at)
        if name in names.GREEK or name in names.SYMBOLS:
            return ["sym", names.GREEK.get(name) or names.SYMBOLS[name]], False
        if name in ("overbrace", "underbrace", "overbracket", "underbracket"):
            return [name, self.argument()], True
        if name in ("overset", "underset", "stackrel", "mathop") or name in names.ARROWS:
            return self.construct(name, start), True
        if name == "operatorname":
            limits = self.take("*")
            return ["op", self.letters(self.raw_argument()), limits], limits
        return self.construct(name, start), False

    def command_name(self) -> str:
        self.at += 1
        end = self.at
        while self.source[end : end + 1].isascii() and self.source[end : end + 1].isalpha():
            end += 1
        name = self.source[self.at : end] or self.peek()
        self.at = max(end, self.at + 1)
        return name

    def construct(self, name: str, start: int) -> Formula:
        if name in _FRACTIONS:
            return self.fraction_command(name)
        if name in _BINOMIALS:
            return ["binom", self.argument(), self.argument()]
        if name == "sqrt":
            return self.root()
        if name in names.TEXTS:
            return self.text(self.raw_argument(), name)
        if name in names.ACCENTS:
            return ["accent", names.ACCENTS[name], self.argument()]
        if name in names.LINES:
            if name in ("fbox", "hbox"):
                return [names.LINES[name], self.text(self.raw_argument(), "text")]
            return [names.LINES[name], EMPTY if name == "mathstrut" else self.argument()]
        if name in names.STYLES:
            return self.styled(names.STYLES[name])
        if name in names.SPACES:
            return ["space", names.SPACES[name]]
        if name in names.WITHOUT_EFFECT:
            return EMPTY
        if name and name in _ESCAPED:
            return ["sym", "‖" if name == "|" else name]
        if name in names.SIZES:
            return ["big", self.delimiter() or " ", names.SIZES[name]]
        if name in names.ARROWS:
            below = self.optional_argument()
            under = self.nested(below) if below else EMPTY
            return ["arrow", names.ARROWS[name], self.argument(), under]
        if name in _STACKED:
            mark, base = self.argument(), self.argument()
            return ["stack", base, *([EMPTY, mark] if name != "underset" else [mark, EMPTY])]
        return self.rarer(name, start)

    def rarer(self, name: str, start: int) -> Formula:
        match name:
            case "left":
                return self.fenced(start)
            case "begin":
                return self.environment(start)
            case "ce":
                return self.nested_chemistry(self.raw_argument())
            case "SI" | "qty" | "unit" | "si" | "num" | "ang":
                return self.quantity(name)
            case "color":
                self.raw_argument()
                return EMPTY
            case "textcolor" | "colorbox":
                self.raw_argument()
                return self.group() if name == "textcolor" else self.text(self.raw_argument(), "")
            case "tag":
                star = self.take("*")
                number = self.text(self.raw_argument(), "text")
                return ["tag", number if star else ["seq", *symbols("(")[1:], number, ["sym", ")"]]]
            case "pmod":
                return ["seq", ["space", 1.0], ["lr", "(", self.modulus(self.argument()), ")"]]
            case "pod":
                return ["seq", ["space", 1.0], ["lr", "(", self.argument(), ")"]]
            case "bmod":
                return ["binary", ["op", "mod", False]]
            case "substack":
                return self.substack()
            case "not":
                return self.negated()
            case "prescript":
                above, below = self.argument(), self.argument()
                return ["before", self.argument(), below, above]
            case "hspace" | "vspace" | "kern" | "mkern" | "hskip" | "mskip" | "label":
                return self.spacing(name)
            case "ket" | "bra" | "braket" | "abs" | "norm" | "set" | "floor" | "ceil":
                return self.physics(name)
            case "dv" | "pdv":
                return self.derivative("d" if name == "dv" else "∂")
            case "dd":
                return ["seq", ["space", 0.17], ["style", "upright", ["sym", "d"]]]
        raise self.error(f"the command \\{name} is not known{_hint(name)}", start)

    def fraction_command(self, name: str) -> Formula:
        if name == "cfrac":
            self.optional_argument()
        above, below = self.argument(), self.argument()
        return ["frac", *(["display", p] if _FRACTIONS[name] else p for p in (above, below))]

    def physics(self, name: str) -> Formula:
        """The brackets that the packages physics and braket have."""
        sides = {"ket": "|⟩", "bra": "⟨|", "braket": "⟨⟩", "abs": "||", "norm": "‖‖",
                 "set": "{}", "floor": "⌊⌋", "ceil": "⌈⌉"}[name]  # fmt: skip
        self.take("*")
        return ["lr", sides[0], self.argument(), sides[1]]

    def derivative(self, sign: str) -> Formula:
        self.take("*")
        order = self.optional_argument()
        power = self.nested(order) if order else None
        first = self.argument()
        self.skip_space()
        d = ["sym", sign]
        up = ["attach", d, None, power, False] if power else d
        if self.peek() != "{":
            return ["frac", up, ["seq", d, _raised(first, power)]]
        return ["frac", ["seq", up, first], ["seq", d, _raised(self.argument(), power)]]

    def spacing(self, name: str) -> Formula:
        if name == "label":
            self.raw_argument()
            return EMPTY
        if name in ("kern", "mkern", "hskip", "mskip"):
            while self.peek() and self.peek() in " -+.0123456789":
                self.at += 1
            self.at += 2  # the unit
            return ["space", 0.25]
        self.take("*")
        width = self.raw_argument().strip()
        return ["space", 0.25 if width[:1] != "-" else -0.17]

    def modulus(self, inner: Formula) -> Formula:
        return ["seq", ["op", "mod", False], ["space", 0.22], inner]

    def negated(self) -> Formula:
        self.skip_space()
        if self.at_end_of(""):
            raise self.error("nothing follows \\not")
        what = self.atom()[0]
        sign = str(what[1]) if what[0] == "sym" else ""
        return ["sym", names.NEGATED[sign]] if sign in names.NEGATED else ["cancel", what]

    def styled(self, style: str) -> Formula:
        """The argument in another style of letters; its letters are no names of functions."""
        self.skip_space()
        end = self.source.find("}", self.at)
        inside = self.source[self.at + 1 : end] if self.peek() == "{" and end > 0 else ""
        if inside and inside.isascii() and re.fullmatch(r"[A-Za-z\d\s/.]+", inside):
            self.at = end + 1
            return ["style", style, symbols("".join(inside.split()))]
        return ["style", style, self.argument()]

    def switch(self) -> str:
        """The style that a command like ``\\rm`` sets for the rest of its group."""
        if self.peek() != "\\":
            return ""
        return next((s for name, s in names.SWITCHES.items() if self.take(f"\\{name}")), "")

    def group(self) -> Formula:
        self.skip_space()
        start = self.at
        if not self.take("{"):
            raise self.error("a { is expected here")
        inner = self.sequence("}")
        if not self.take("}"):
            raise self.unclosed("a { is never closed", start)
        return inner

    def argument(self) -> Formula:
        """A group, or the next atom alone: ``\\frac12``; plain ``sqrt(x)`` loses its brackets."""
        self.skip_space()
        if self.at_end_of(""):
            raise self.error("something is missing here: write it in braces")
        if self.peek().isdigit():
            self.at += 1
            return ["num", self.source[self.at - 1]]
        if self.peek() == "{":
            return self.group()
        self.enter()
        inner = self.atom()[0]
        self.depth -= 1
        return inner

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

    def named(self, word: str, end: int) -> tuple[Formula, bool]:
        self.at = end
        if word in names.LARGE:
            return ["sym", names.LARGE[word]], word in names.LIMITS
        limits = word in names.FUNCTIONS_WITH_LIMITS
        shown = {"limsup": "lim sup", "liminf": "lim inf", "argmax": "arg max",
                 "argmin": "arg min", "injlim": "inj lim", "projlim": "proj lim"}  # fmt: skip
        return ["op", shown.get(word, word), limits], limits

    def root(self) -> Formula:
        degree = self.optional_argument()
        if degree is None or not degree.strip():
            return ["sqrt", without_brackets(self.argument())]
        return ["root", self.nested(degree), self.argument()]

    def text(self, text: str, name: str) -> Formula:
        """Words; formulas within them stand between dollar signs."""
        parts: list[Formula] = []
        for number, piece in enumerate(_unescaped_dollars(text)):
            if number % 2:
                parts.append(self.nested(piece))
                continue
            content = " ".join(_words(piece).split())
            # Spaces at its ends part the words from the mathematics around them.
            parts += [["space", 0.28]] if piece[:1].isspace() else []
            parts += [["text", content, {"textbf": 700}.get(name, 400)]] if content else []
            if content or not piece[:1].isspace():
                parts += [["space", 0.28]] if piece[-1:].isspace() else []
        if "text" in name and name.startswith(("inter", "shortinter")):
            return ["seq", *parts, ["newline"]]
        return ["seq", *parts]

    def letters(self, text: str) -> str:
        bare = text.replace("\\,", " ").replace("\\ ", " ").replace("\\;", " ").replace("~", " ")
        for style in ("\\mathrm", "\\mathbf", "\\text", "\\rm"):
            bare = bare.replace(style, "")
        bare = bare.replace("{", "").replace("}", "")
        if not bare.replace(" ", "").replace("-", "").replace("*", "").isalnum():
            raise self.error("a function's name has letters and digits only")
        return " ".join(bare.split())

    def fenced(self, start: int) -> Formula:
        opening = self.delimiter()
        inner = self.sequence("")
        while self.take("\\middle"):
            inner = ["seq", *inner[1:], ["mid", self.delimiter()], *self.sequence("")[1:]]
        if not self.take("\\right"):
            raise self.unclosed("\\left has no \\right: write \\right. where nothing closes", start)
        return ["lr", opening, inner, self.delimiter()]

    def delimiter(self) -> str:
        self.skip_space()
        start = self.at
        if self.done():
            raise self.error("a bracket is expected here")
        if self.take("."):
            return ""
        if self.peek() == "\\":
            symbol = self.command()[0]
        else:
            symbol = ["sym", self.peek()]
            self.at += 1
        sign = symbol[1] if symbol[0] == "sym" else ""
        sign = {"<": "⟨", ">": "⟩", "∣": "|", "∥": "‖"}.get(sign, sign)
        if not sign or sign not in names.DELIMITERS:
            raise self.error("a bracket is expected here", start)
        return str(sign)

    def sign(self) -> Formula:
        char = self.peek()
        if char in ("&", "}", "#", "`", '"', "@", "$"):
            instead = f"; the sign itself is written \\{char}" if char in "&#$" else ""
            raise self.error(f"{char!r} means nothing here{instead}")
        self.at += 1
        if char == "~":
            return ["space", 0.28]
        if char in names.SIGNS:
            return ["sym", names.SIGNS[char]]
        kind = unicodedata.category(char)
        if char in "²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉":
            return ["num", char]
        if kind in ("Sm", "So", "Po", "Pd", "Sc", "Ps", "Pe") or "\u0370" <= char <= "\u03ff":
            return ["sym", char]
        if kind[0] in "LMN":
            start = self.at - 1
            while (
                self.peek()
                and unicodedata.category(self.peek())[0] in "LMN"
                and ord(self.peek()) > 127
            ):
                self.at += 1
            return ["text", self.source[start : self.at], 400]
        raise self.error(f"{char!r} is no mathematics", self.at - 1)


def _raised(base: Formula, power: Formula | None) -> Formula:
    return ["attach", base, None, power, False] if power else base


def _unescaped_dollars(text: str) -> list[str]:
    pieces = text.replace("\\$", "\0").split("$")
    if len(pieces) % 2 == 0:  # one dollar sign has no partner
        pieces = ["$".join(pieces)]
    return [piece.replace("\0", "\\$") for piece in pieces]


def _words(text: str) -> str:
    """Text as it is read: escaped signs without their backslashes, ``~`` as a blank."""
    for written, meant in (("---", "—"), ("--", "–"), ("~", " "), ("\\,", " "), ("\\ ", " "),
                           ("\\\\", " "), ("\\quad", " "), ("``", "“"), ("''", "”")):  # fmt: skip
        text = text.replace(written, meant)
    for sign in "{}%#&$_":
        text = text.replace(f"\\{sign}", chr(0xE000 + ord(sign)))
    text = text.replace("{", "").replace("}", "")
    return "".join(chr(ord(c) - 0xE000) if 0xE000 <= ord(c) < 0xE080 else c for c in text)


def _hint(name: str) -> str:
    if name in _HINTS:
        return f": {_HINTS[name]}"
    near = difflib.get_close_matches(name, known_commands(), 1, 0.7)
    return (
        f"; did you mean \\{near[0]}?"
        if near
        else ": write what it shows with other commands, words in \\text{...}"
    )


@lru_cache(maxsize=1)
def known_commands() -> tuple[str, ...]:
    """Every command's name, for suggestions."""
    tables = (
        names.GREEK, names.SYMBOLS, names.LARGE, names.FUNCTIONS, names.COMMAND_FUNCTIONS,
        names.ACCENTS, names.LINES, names.STYLES, names.TEXTS, names.ARROWS, names.SIZES,
        names.SPACES, _FRACTIONS, _BINOMIALS, _STACKED, names.WITHOUT_EFFECT,
        ("sqrt", "left", "right", "begin", "end", "ce", "SI", "unit", "tag", "pmod", "bmod",
         "substack", "not", "operatorname", "textcolor", "color"),
    )  # fmt: skip
    return tuple(dict.fromkeys(name for table in tables for name in table if len(name) > 1))
