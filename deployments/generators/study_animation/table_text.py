"""A row of a table as a sentence."""

from __future__ import annotations

from collections.abc import Sequence


def row_text(header: Sequence[str], row: Sequence[str]) -> str:
    """Return "Part: Nucleus; What it does: keeps the plan"; an empty cell is not said."""
    arabic = any("\u0620" <= letter <= "\u06d3" for text in (*header, *row) for letter in text)
    return ("؛ " if arabic else "; ").join(
        f"{name}: {cell}" if name else cell for name, cell in zip(header, row, strict=True) if cell
    )
