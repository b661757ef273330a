"""Whether each query of each panel of the dashboards had data while the drill went on.

The causes of the alerts are also what the panels show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from rich.table import Table

from scripts.check_dashboards import RATE_INTERVAL
from scripts.dashboards import queries
from tests.alert_drill.prometheus import PrometheusFailed

# Names of metrics that only a machine with a card has.
OF_A_CARD = ("DCGM_", "ray_node_gpu", "ray_node_gram")


class HadData(Protocol):
    """What remembers: a Prometheus."""

    def had_data(self, expression: str, began: float, ended: float) -> bool: ...


@dataclass(frozen=True)
class Panel:
    """A query of a panel, and whether it had data."""

    dashboard: str
    title: str
    expression: str
    had_data: bool

    @property
    def needs_card(self) -> bool:
        return any(name in self.expression for name in OF_A_CARD)

    @property
    def passed(self) -> bool:
        return self.had_data or self.needs_card

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check(prometheus: HadData, began: float, ended: float) -> Iterator[Panel]:
    """Every query of every panel, between two times (seconds of Unix)."""
    for dashboard, title, expression in queries():
        asked = expression.replace("$__rate_interval", RATE_INTERVAL)
        try:
            had_data = prometheus.had_data(asked, began, ended)
        except PrometheusFailed:  # the others, and the drill before them, shall still be told
            had_data = False
        yield Panel(dashboard, title, expression, had_data)


def table(panels: list[Panel]) -> Table:
    """Those without data, as a person reads them; the title counts all."""
    with_data = sum(panel.had_data for panel in panels)
    title = f"{len(panels)} queries of panels, {with_data} with data; without:"
    made = Table("dashboard", "panel", "query", "", title=title, title_justify="left")
    for panel in panels:
        if not panel.had_data:
            why = "needs a card" if panel.needs_card else "NOT"
            made.add_row(panel.dashboard, panel.title, panel.expression, why)
    return made
