"""Formulas in words, as a teacher reads them aloud: "a squared plus b squared equals c squared".

The words of each language are in ``words.yaml``; in another language the voice gets the formula as
readable text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from models.formulas.errors import FormulaError
from models.formulas.parser import parse_formula
from models.formulas.plain_text import formula_text

_WORDS = Path(__file__).with_name("words.yaml")
_LARGE = {"∑": "sum", "∏": "product", "∫": "integral", "∬": "integral", "∮": "integral"}
_FUNCTION_LETTERS = frozenset("fghFGPLT")
_DIGITS = re.compile(r"\d+")
_LONG = 3  # words above a fraction's line
_NEVER_SAID = frozenset("\\$^~&#`_{}|<>*[]")


@lru_cache(maxsize=1)
def _languages() -> dict[str, dict[str, Any]]:
    languages: dict[str, dict[str, Any]] = yaml.safe_load(_WORDS.read_text("utf-8"))
    return languages


def spoken_formula(tex: str, language: str) -> str:
    """Return the formula ``tex`` in words of ``language``, a BCP 47 tag, without signs of LaTeX."""
    code = language.replace("_", "-").partition("-")[0].lower()
    words = _languages().get({"cmn": "zh", "iw": "he"}.get(code, code))
    try:
        tree = parse_formula(tex)
    except FormulaError:
        words = None
    if words is None:
        return formula_text(tex).replace("^(", " (")
    return " ".join(_Speaker(words).say(tree).split())


class _Speaker:
    def __init__(self, words: dict[str, Any]) -> None:
        self.words = words
        self.signs: dict[str, str] = words["signs"]
        self.greek: dict[str, str] = words.get("greek", {})

    def phrase(self, name: str, *parts: str) -> str:
        return f" {self.words[name].format(*(part.strip() for part in parts))} "

    def say(self, node: Any) -> str:
        if not node or not node[0]:
            return ""
        kind, *parts = node
        match kind:
            case "sym":
                return self.sign(str(parts[0]))
            case "num" | "text" | "unit":
                return f" {parts[0]} " if kind == "text" else self.number(str(parts[0]))
            case "op":
                return f" {self.words['functions'].get(parts[0], parts[0])} "
            case "seq":
                return self.sequence(parts)
            case "frac":
                return self.fraction(*parts)
            case "binom":
                return self.phrase("choose", *map(self.say, parts))
            case "sqrt":
                return self.phrase("root", self.say(parts[0]))
            case "root":
                index, inner = self.say(parts[0]).strip(), self.say(parts[1])
                if index == "3":
                    return self.phrase("cube_root", inner)
                return self.phrase("nth_root", index, inner)
            case "attach":
                return self.attached(*parts[:3])
            case "before":
                low, high = (self.say(part) if part else "" for part in parts[1:3])
                return f" {high} {low} {self.say(parts[0])} "
            case "stack":
                return " ".join(self.say(part) for part in parts)
            case "arrow":
                marks = " ".join(self.say(part) for part in parts[1:])
                return f" {self.sign(str(parts[0]))} {marks} "
            case "lr":
                return self.brackets(*parts)
            case "accent":
                return self.accented(str(parts[0]), self.say(parts[1]))
            case "style":
                return self.say(parts[1])
            case "newline":
                return " ; "
            case "space" | "nothing" | "phantom" | "amp" | "mid":
                return " "
            case "big":
                return self.sign(str(parts[0]))
            case _:
                return self.within(parts)

    def within(self, parts: list[Any]) -> str:
        """Rows, a line, a box: what is within."""
        lists = [part for part in parts if isinstance(part, list) and part]
        said = []
        for part in lists:
            if isinstance(part[0], str):
                said.append(self.say(part) if part != ["", ""] else "")
            else:
                rows = (row if row and isinstance(row[0], str) else ["cells", *row] for row in part)
                said.append(" ; ".join(self.row(row) for row in rows))
        return " ".join(said)

    def row(self, row: list[Any]) -> str:
        if row[:1] != ["cells"]:
            return self.say(row)
        return ", ".join(self.say(cell).strip() for cell in row[1:])

    def sequence(self, parts: list[Any]) -> str:
        said, index = "", 0
        while index < len(parts):
            node, after = parts[index], parts[index + 1] if index + 1 < len(parts) else None
            if after is not None and after[0] == "lr" and after[1] == "(" and _applies(node):
                said += self.phrase("of", self.say(node), self.say(after[2]))
                index += 2
                continue
            if (closing := _closing_bar(parts, index)) > index:
                inner = self.sequence(parts[index + 1 : closing])
                said += self.phrase("absolute", inner)
                index = closing + 1
                continue
            said += f" {self.say(node)} "
            index += 1
        return said

    def sign(self, char: str) -> str:
        if char in self.signs:
            return f" {self.signs[char]} "
        if char in _LARGE:
            return f" {self.words[_LARGE[char]]} "
        name = unicodedata.name(char, "") if len(char) == 1 else ""
        if name.startswith("GREEK"):
            letter = name.rpartition(" LETTER ")[2].partition(" ")[0].lower()
            letter = letter.replace("lamda", "lambda")
            return f" {self.greek.get(letter, letter if not self.greek else char)} "
        if char.isalnum() or char in ",.;:":
            return f" {char} " if char.isalnum() else f"{char} "
        return " " if char in _NEVER_SAID else f" {char} "

    def number(self, text: str) -> str:
        if text == "/":
            return f" {self.words['per']} "
        return f" {text} " if any(map(str.isalnum, text)) else self.sign(text)

    def fraction(self, above: Any, below: Any) -> str:
        top, bottom = self.say(above).strip(), self.say(below).strip()
        if len(top.split()) > _LONG:
            top += ","  # the voice pauses, so that all of it is heard to be divided
        known = self.words.get("fractions", {}).get(f"{top}/{bottom}")
        if known:
            return f" {known} "
        if self.words.get("below_first"):
            top, bottom = bottom, top
        return self.phrase("over", top, bottom)

    def attached(self, base: Any, low: Any, high: Any) -> str:
        below, above = (self.say(part).strip() if part else "" for part in (low, high))
        sign = _sign_of(base)
        if sign in _LARGE or base[0] == "op":
            said = self.say(base)
            if base[0] == "op" and not base[2]:  # log to the base 2, sin squared
                said += self.phrase("index", below) if below else ""
                return said + (self.power(high, above) if above else "")
            if base[0] == "op":
                return said + (self.phrase("as", below) if below else "")
            said += self.phrase("from", below) if below else ""
            return said + (self.phrase("to", above) if above else "") + self.words["of_what"] + " "
        said = self.say(base)
        if below:
            chemical = base[0] == "style" and _DIGITS.fullmatch(below)
            said += f" {below} " if chemical else self.phrase("index", below)
        return said + (self.power(high, above) if above else "")

    def power(self, node: Any, said: str) -> str:
        sign = _sign_of(node)
        if sign in ("∘", "°"):
            return f" {self.signs['°']} "
        if sign == "′" or (node[0] == "seq" and node[1:] and set(map(_sign_of, node[1:])) == {"′"}):
            return f" {said} "
        if sign in ("+", "−", "⊤", "T", "∗", "†"):
            return f" {said or sign} "
        if said in ("2", "3"):
            return f" {self.words['squared' if said == '2' else 'cubed']} "
        return self.phrase("power", said)

    def brackets(self, opening: str, inner: Any, closing: str) -> str:
        said = self.say(inner)
        if opening == closing == "|":
            return self.phrase("absolute", said)
        if opening not in "([{" and closing not in ")]}":
            return said
        return f" {self.words['open']} {said} {self.words['close']} "

    def accented(self, mark: str, inner: str) -> str:
        names = {"⃗": "vector", "→": "vector", "̂": "hat", "̄": "bar", "̇": "dot", "̃": "tilde"}
        name = names.get(mark)
        return self.phrase(name, inner) if name else inner


def _sign_of(node: Any) -> str:
    """The sign that ``node`` is, if it is one alone."""
    while node and node[0] == "seq" and len(node) == 2:
        node = node[1]
    return str(node[1]) if node and node[0] == "sym" else ""


def _applies(node: Any) -> bool:
    """Return whether ``node`` before brackets is a function."""
    if node[0] == "attach":
        return _applies(node[1])
    return node[0] == "op" or (node[0] == "sym" and node[1] in _FUNCTION_LETTERS)


def _closing_bar(parts: list[Any], index: int) -> int:
    if parts[index] != ["sym", "|"]:
        return index
    for later in range(index + 2, len(parts)):
        if parts[later] == ["sym", "|"]:
            return later
    return index
