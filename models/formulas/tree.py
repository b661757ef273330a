"""The tree that a formula is parsed into, and what is read off it.

``["kind", argument, ...]``: plain JSON, which ``models/typesetting/typeset.typ`` sets.
"""

from __future__ import annotations

from typing import Any

Formula = list[Any]
EMPTY: Formula = ["seq"]
MAX_TREE_DEPTH = 32  # of nested constructs: the typesetter has bounds of its own, a little above
MAX_NODES = 4000


def symbols(text: str) -> Formula:
    return ["seq", *(["sym", char] for char in text)]


def without_brackets(part: Formula) -> Formula:
    """Remove round brackets that a fraction, a root or a power makes redundant."""
    return part[2] if part[0] == "lr" and part[1] == "(" and part[3] == ")" else part


def applies(part: Formula) -> bool:
    """Return whether ``part`` before brackets is a function or a factor, which keeps them."""
    return (
        part[0] == "op"
        or (part[0] == "sym" and str(part[1]).isalpha())
        or (part[0] == "attach" and applies(part[1]))
    )


def formula_texts(tree: Formula) -> str:
    """Return every text, number and symbol in ``tree``, for the check that the fonts have them."""
    if tree and tree[0] in ("text", "op", "sym", "num") and isinstance(tree[1], str):
        return str(tree[1])
    return "".join(formula_texts(part) for part in tree if isinstance(part, list))


def measure(tree: Formula) -> tuple[int, int]:
    """Return how deep constructs are nested in ``tree``, and how many there are."""
    deepest = count = 0
    parts: list[tuple[Formula, int]] = [(tree, 0)]
    while parts:
        part, depth = parts.pop()
        if part and isinstance(part[0], str):
            # Rows cost the typesetter twice as many calls.
            depth, count = depth + 1 + (part[0] == "rows"), count + 1
        deepest = max(deepest, depth)
        parts += [(inner, depth) for inner in part if isinstance(inner, list)]
    return deepest, count
