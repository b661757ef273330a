"""Plays causes one after the other, and writes down what Prometheus saw of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.alert_drill.causes import NOT_HERE
from tests.alert_drill.causes.cause import Cause
from tests.alert_drill.prometheus import Prometheus
from tests.alert_drill.rules import look_back_s
from tests.alert_drill.stage import Stage

SILENT_S = 90.0  # for what an earlier cause left behind
BACK_S = 120.0  # after the repair, beside what an expression looks back
EVERY_S = 1.0


@dataclass(eq=False)
class Row:
    """What became of one alert. ``true_after_s`` counts from the beginning of the damage,
    ``back_after_s`` from the end of the repair; None: it was not seen."""

    alert: str
    cause: str
    true_after_s: float | None = None
    back_after_s: float | None = None
    note: str = ""
    skipped: bool = False  # it cannot be produced here
    repaired_at: float | None = None  # monotonic

    @property
    def passed(self) -> bool:
        return self.skipped or self.true_after_s is not None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "repaired_at"}


class Drill:
    """``expressions`` are those of Prometheus, by alert. Those that look back for more than
    ``patience_s`` seconds are not waited for until they go back."""

    def __init__(
        self,
        stage: Stage,
        prometheus: Prometheus,
        expressions: Mapping[str, str],
        patience_s: float,
        console: Console,
    ) -> None:
        self._stage, self._prometheus, self._expressions = stage, prometheus, expressions
        self._patience_s, self._console = patience_s, console

    def play(self, causes: Iterable[Cause], only: Iterable[str] = ()) -> Iterator[Row]:
        """A row for each alert of each cause, those of ``only`` if it names any, and for each that
        has none here."""
        wanted = set(only) or set(self._expressions)
        rows = []
        for cause in causes:
            if wanted & set(cause.alerts):
                played = self._play(cause)
                rows += played
                for row in played:
                    self._console.print(f"  {told(row)}", highlight=False, markup=False)
        self._wait_until_back(rows)
        yield from rows
        yield from not_here(wanted)

    def _play(self, cause: Cause) -> list[Row]:
        rows = [Row(alert, cause.text) for alert in cause.alerts]
        if obstacle := cause.obstacle(self._stage):
            for row in rows:
                row.note, row.skipped = obstacle, True
            return rows
        self._console.print(f"{time.strftime('%H:%M:%S')} {cause.text}", highlight=False)
        try:
            cause.prepare(self._stage)
            watched = self._silent(rows)
            began = time.monotonic()
            with cause.damage(self._stage):
                self._watch(watched, lambda row: self._note_true(row, began), cause.within_s)
        except Exception as error:  # the other causes shall still be played
            for row in rows:
                row.note = f"{type(error).__name__}: {error}".partition("\n")[0]
        repaired = time.monotonic()
        for row in rows:
            row.repaired_at = repaired if row.true_after_s is not None else None
        # What looks back has time until the end.
        self._watch_back([row for row in rows if not self._look_back_s(row)], BACK_S)
        return rows

    def _silent(self, rows: list[Row]) -> list[Row]:
        """The rows whose expressions are not true before there is a cause."""
        silent = self._watch(rows, lambda row: not self._is_true(row), SILENT_S)
        for row in rows:
            if row not in silent:
                row.note = "was true before"
        return silent

    def _note_true(self, row: Row, began: float) -> bool:
        if self._is_true(row):
            row.true_after_s = round(time.monotonic() - began, 1)
        return row.true_after_s is not None

    def _note_back(self, row: Row) -> bool:
        if row.repaired_at is not None and not self._is_true(row):
            row.back_after_s = round(time.monotonic() - row.repaired_at, 1)
        return row.back_after_s is not None

    def _watch_back(self, rows: list[Row], seconds: float) -> None:
        self._watch([row for row in rows if row.repaired_at is not None], self._note_back, seconds)

    def _wait_until_back(self, rows: list[Row]) -> None:
        for row in rows:
            look_back = self._look_back_s(row)
            if row.repaired_at is None or row.back_after_s is not None:
                continue
            if look_back > self._patience_s:
                row.note = f"looks back {look_back // 60} min: not waited for"
                continue
            self._watch_back([row], row.repaired_at + look_back + BACK_S - time.monotonic())
            if row.back_after_s is None:
                row.note = "did not go back"

    def _look_back_s(self, row: Row) -> int:
        return look_back_s(self._expressions[row.alert])

    def _is_true(self, row: Row) -> bool:
        return self._prometheus.is_true(self._expressions[row.alert])

    def _watch(self, rows: list[Row], seen: Callable[[Row], bool], seconds: float) -> list[Row]:
        """Ask again and again until all are seen, for at most ``seconds``; returns those that
        were."""
        found: list[Row] = []
        deadline = time.monotonic() + seconds
        while len(found) < len(rows):
            found += [row for row in rows if row not in found and seen(row)]
            if time.monotonic() > deadline:
                break
            time.sleep(EVERY_S)
        return found


def not_here(wanted: Iterable[str]) -> Iterator[Row]:
    """The alerts whose causes cannot be produced on one machine, with the reasons."""
    for alert, reason in NOT_HERE.items():
        if alert in wanted:
            yield Row(alert, "", note=reason, skipped=True)


def told(row: Row) -> str:
    """The row in words."""
    if row.skipped:
        return f"{row.alert}: not caused here: {row.note}"
    if row.true_after_s is None:
        return f"{row.alert}: did not turn true: {row.note}"
    return f"{row.alert}: true after {row.true_after_s:.0f} s"


def table(rows: Iterable[Row]) -> Table:
    """All rows, as a person reads them."""
    made = Table("alert", "cause", "true after", "back after", "")
    for row in rows:
        true = "" if row.skipped else "NOT" if row.true_after_s is None else _s(row.true_after_s)
        back = "" if row.back_after_s is None else _s(row.back_after_s)
        made.add_row(row.alert, row.cause, true, back, row.note)
    return made


def _s(seconds: float) -> str:
    return f"{seconds:.0f} s"
