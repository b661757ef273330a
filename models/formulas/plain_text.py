"""A formula within a sentence as one line of Unicode, which can be shown and said."""

from __future__ import annotations

import re
from typing import Any

from models.formulas.errors import FormulaError
from models.formulas.parser import parse_formula

_PLAIN = "0123456789+-=()aehijklmnoprstuvx" + "βγρφχ"
_LOW = dict(zip(_PLAIN, "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ" + "ᵦᵧᵨᵩᵪ", strict=True))
_UPPER = "0123456789+-=()abcdefghijklmnoprstuvwxyzT"
_HIGH = dict(zip(_UPPER, "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ", strict=True))
_LOW |= {"−": "₋"}
_HIGH |= {"−": "⁻", "∘": "°"} | {mark: mark for mark in "′°†‡⊥⊤*"} | {"∗": "*", "⊤": "ᵀ"}
_SPACED = frozenset("=<>≤≥≠≈≡∼→⇒⇔⟹⟺±×÷⋅+−∈∉⊂⊆∪∩∧∨∝←↔↦∓")
_LARGE = frozenset("∑∏∐∫∬∭∮⋃⋂")
_OPERAND = re.compile(r"[\w)\]}!%′°∞′⁰¹²³⁴-⁹₀-₉ᵃ-ᶻⁿ]$")


def formula_text(tex: str) -> str:
    """Return ``tex`` as readable text, such as "b² − 4ac ≥ 0"; commands of LaTeX disappear.

    What is no formula known here keeps its letters, figures and signs, without its commands' marks.
    """
    try:
        text = _text(parse_formula(tex))
    except FormulaError:
        text = re.sub(r"[\\{}$&~^_]+", " ", tex)
    return " ".join(text.split())


def _text(node: Any) -> str:
    kind, *parts = node
    if not kind:  # an empty cell
        return ""
    match kind:
        case "sym" | "num" | "text" | "unit":
            return str(parts[0])
        case "newline":
            return "; "
        case "binary" | "relation":
            return f" {_text(parts[0]).strip()} "
        case "arrow":
            marks = ", ".join(filter(None, (_text(part).strip() for part in parts[1:])))
            return f" {parts[0]} ({marks}) " if marks else f" {parts[0]} "
        case "stack":
            marks = "".join(f"({_text(part).strip()})" for part in parts[1:] if len(part) > 1)
            return f" {_text(parts[0]).strip()} {marks} "
        case "before":
            _, low, high = parts
            scripts = _attached(["seq"], low, high) if low or high else ""
            return f"{scripts}{_text(parts[0])}"
        case "tag":
            return f" {_text(parts[0])}"
        case "seq":
            return _sequence(parts)
        case "frac":
            return f"{_grouped(parts[0])}/{_grouped(parts[1])}"
        case "binom":
            return f"({_text(parts[0])} {_text(parts[1])})"
        case "sqrt":
            return f"√{_grouped(parts[0])}"
        case "root":
            index = _text(parts[0])
            return f"{_scripted(index, _HIGH) or index + ' '}√{_grouped(parts[1])}"
        case "op":
            return str(parts[0])
        case "attach":
            return _attached(*parts[:3])
        case "lr":
            return f"{parts[0]}{_text(parts[1]).strip()}{parts[2]}"
        case "accent":
            inner = _text(parts[1])
            mark = str(parts[0])
            return inner + mark if len(inner) == 1 else inner
        case "space":
            return " " if parts[0] > 0 else ""
        case "big" | "mid":
            return str(parts[0])
        case _:  # rows, a line, a style, a box: what is within
            return _within(parts)


def _within(parts: list[Any]) -> str:
    lists = [part for part in parts if isinstance(part, list) and part]
    texts = [_text(part) if isinstance(part[0], str) else _rows(part) for part in lists]
    return " ".join(filter(None, texts))


def _rows(rows: list[Any]) -> str:
    """The cells of a matrix or of lines: "a, b; c, d"."""
    lists = [row for row in rows if isinstance(row, list) and row]
    return "; ".join(
        _text(row) if isinstance(row[0], str) else ", ".join(map(_text, row)) for row in lists
    )


def _sequence(parts: list[Any]) -> str:
    text, after_operator = "", False
    for node in parts:
        piece = _text(node)
        if piece in _SPACED and (_OPERAND.search(text.rstrip()) or piece not in "+−±∓"):
            text = f"{text.rstrip()} {piece} "
        elif _is_operator(node):
            text = f"{text} {piece} "
        elif piece:
            text = (text.rstrip() if after_operator and piece[0] in "([" else text) + piece
        after_operator = _is_operator(node)
    return text


def _is_operator(node: Any) -> bool:
    while node[0] == "attach":
        node = node[1]
    return node[0] == "op" or (node[0] == "sym" and node[1] in _LARGE)


def _attached(base: Any, low: Any, high: Any) -> str:
    text = _text(base)
    below, above = (_text(part).strip() if part else "" for part in (low, high))
    small, raised = _scripted(below, _LOW), _scripted(above, _HIGH)
    if text in _LARGE and ((below and not small) or (above and not raised)):
        return f"{text} ({' … '.join(filter(None, (below, above)))})"
    text += small or (f" {below}" if below else "")
    return text + (raised or (f"^({above})" if above else ""))


def _scripted(text: str, table: dict[str, str]) -> str:
    """Return ``text`` in small raised or lowered letters; nothing where one is missing."""
    letters = [table.get(letter, "") for letter in text.replace(" ", "")]
    return "".join(letters) if all(letters) else ""


def _grouped(node: Any) -> str:
    text = _text(node).strip()
    simple = re.fullmatch(r"(\d+(\.\d+)?|√?\w)[⁰¹²³⁴-⁹₀-₉]*", text) or len(text) == 1
    return text if simple or _is_bracketed(node) else f"({text})"


def _is_bracketed(node: Any) -> bool:
    while node[0] == "seq" and len(node) == 2:
        node = node[1]
    return bool(node[0] == "lr")
