"""Estimate how wide a formula is, so that one that nobody could read is refused."""

from __future__ import annotations

from models.formulas.tree import Formula

MAX_WIDTH = 110.0  # letters beside one another
_SCRIPT = 0.7  # the size of scripts


def width(tree: Formula) -> float:
    """Return the width of ``tree`` in letters: that of its widest row."""
    rows = [0.0]
    for part in tree[1:]:
        if part == ["newline"]:
            rows.append(0.0)
        else:
            rows[-1] += _width(part)
    return max(rows)


def _width(tree: Formula) -> float:
    if not tree or tree == ["seq"]:
        return 0.0
    kind, *parts = tree
    match kind:
        case "sym" | "num" | "unit" | "text" | "op":
            return float(len(parts[0]))
        case "space":
            return float(parts[0])
        case "frac" | "binom":
            return max(map(_width, parts))
        case "attach" | "before":
            scripts = [_width(part) for part in parts[1:3] if part]
            limits = kind == "attach" and parts[3]
            small = _SCRIPT * max(scripts, default=0.0)
            return max(_width(parts[0]), small) if limits else _width(parts[0]) + small
        case "stack" | "arrow":
            base = _width(parts[0]) if kind == "stack" else 3.0
            return max(base, *(_SCRIPT * _width(part) for part in parts[1:]))
        case "lr":
            return 2.0 + _width(parts[1])
        case "mat":
            return 2.0 + _columns(parts[1])
        case "cases" | "rcases" | "rows":
            return 1.0 + _columns(parts[0])
        case "phantom" | "nothing" | "big" | "mid":
            return 1.0
        case "tag":
            return 4.0 + _width(parts[0])
    return sum(_width(part) for part in parts if isinstance(part, list))


def _columns(rows: list[list[Formula]]) -> float:
    widest = max(map(len, rows))
    columns = [[row[n] for row in rows if n < len(row)] for n in range(widest)]
    return sum(1.0 + max(map(_width, column)) for column in columns)
