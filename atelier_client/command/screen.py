"""What the command shows: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from atelier_client.calls import Answer


class Reporter(Protocol):
    """Shows how far a job is."""

    def show(self, what: str, fraction: float) -> None:
        """Show its stage, and how much is done (0 to 1)."""


def _console(file: TextIO) -> Console:
    # Texts come from others: nothing in them is colored, replaced or broken.
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)


class Screen:
    """A terminal, or what takes its place in a script; with ``as_json`` for a program."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out, self.err = _console(sys.stdout), _console(sys.stderr)

    def result(self, text: str) -> None:
        """Print a line of the result."""
        self.out.print(text)

    def note(self, text: str) -> None:
        """Say something beside the result."""
        self.err.print(text)

    def answer(self, answer: Answer | Sequence[Answer]) -> None:
        """Print an answer of the service as JSON."""
        if isinstance(answer, Answer):
            print(answer.model_dump_json(indent=2))
        else:
            data = [one.model_dump(mode="json") for one in answer]
            print(json.dumps({"data": data}, indent=2))

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; where nobody looks, its rows with a tab between the cells."""
        cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
        if not self.out.is_terminal:
            for row in cells:
                print("\t".join(row))
            return
        table = Table(*titles, box=None, pad_edge=False)
        for row in cells:
            table.add_row(*map(Text, row))
        self.out.print(table)

    @contextmanager
    def progress(self) -> Iterator[Reporter]:
        """Show the progress of a job: a bar on a terminal, else a line for each change."""
        if not self.err.is_terminal:
            yield Lines(self)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.err) as progress:
            yield Bar(progress)


class Bar:
    """Shows the progress as a bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=1.0)

    def show(self, what: str, fraction: float) -> None:
        self._progress.update(self._task, description=what, completed=fraction)


class Lines:
    """Shows the progress as lines, one for each stage and each tenth."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last: tuple[str, int] | None = None

    def show(self, what: str, fraction: float) -> None:
        now = (what, int(fraction * 10))
        if now != self._last:
            self._last = now
            self._screen.note(f"{fraction:4.0%} {what}")
