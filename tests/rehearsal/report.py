"""The rehearsal's lines as a table in the terminal and in ``docs/gpu.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

DOCS = Path(__file__).parents[2] / "docs" / "gpu.md"
BEGIN, END = "<!-- rehearsal: written by ./scripts/rehearse --write-docs -->", "<!-- end -->"

Row = Mapping[str, Any]


def line(row: Row) -> str:
    said = "; ".join(row["faults"]) or "ok"
    return f"{row['profile']} {row['capability']} {row['plan']} {row['seconds']} s: {said}"


def show(rows: Iterable[Row]) -> None:
    table = Table(
        "profile", "capability", "model", "plan", "weights", "peak", "estimate", "four", "verdict"
    )
    for row in rows:
        verdict = f"[red]{'; '.join(row['faults'])}" if row["faults"] else "[green]ok"
        table.add_row(*_cells(row), verdict)
    Console(width=220).print(table)
    print("sizes in MiB; plans after the first are those a model falls to when the memory runs out")


def _cells(row: Row) -> list[str]:
    sizes = [str(row[name] or "") for name in ("weights", "peak", "estimate", "four")]
    plan = row["plan"] if row["chosen"] else f"then {row['plan']}"
    return [row["profile"], row["capability"], row["model"], plan, *sizes]


def write_docs(rows: Iterable[Row]) -> None:
    """Replace the table between the marks in ``docs/gpu.md``."""
    head = ("profile", "capability", "model", "plan", "weights", "peak", "estimate", "four at once")
    lines = ["| " + " | ".join(head) + " |", "|---" * 4 + "|--:" * 4 + "|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    text = DOCS.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    DOCS.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after)
