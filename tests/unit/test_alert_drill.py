"""What of the drill is pure: its causes cover the alerts, and it reads rules and shows rows."""

import json
from io import StringIO
from pathlib import Path

import httpx
import pytest
import yaml
from rich.console import Console

from tests.alert_drill import panels
from tests.alert_drill.causes import CAUSES, NOT_HERE
from tests.alert_drill.drill import Row, not_here, table, told
from tests.alert_drill.prometheus import INTERVAL, Prometheus, PrometheusFailed, configuration
from tests.alert_drill.rules import alert_names, look_back_s
from tests.support.rules import PROMETHEUS, alerts

EXPRESSIONS = {alert["alert"]: alert["expr"] for alert in alerts()}


def test_each_alert_has_one_cause_or_a_reason_why_it_has_none() -> None:
    caused = [alert for cause in CAUSES for alert in cause.alerts]
    assert sorted([*caused, *NOT_HERE]) == sorted(alert_names())


@pytest.mark.parametrize(
    ("alert", "seconds"),
    [
        ("DatabaseDown", 0),
        ("ApiErrors", 300),
        ("GpuOutOfMemory", 900),
        ("DeliveriesGivenUp", 3600),
        # Of an hour and of five minutes, in recordings that both must be true.
        ("SubmitBudgetBurnsFast", 300),
        ("SubmitBudgetBurnsSlow", 1800),
    ],
)
def test_how_far_an_expression_looks_back(alert: str, seconds: int) -> None:
    assert look_back_s(EXPRESSIONS[alert]) == seconds


def test_prometheus_reads_the_service_under_drill_and_no_other() -> None:
    given = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    made = configuration(given, 8123, Path("/tmp/ray-of-the-drill"))
    assert made["global"]["evaluation_interval"] == INTERVAL
    assert all(Path(path).is_file() for path in made["rule_files"])
    assert "alerting" not in made
    jobs = {job["job_name"]: job for job in made["scrape_configs"]}
    assert set(jobs) == {job["job_name"] for job in given["scrape_configs"]}
    (ray,) = jobs["ray"]["file_sd_configs"]
    assert ray["files"] == ["/tmp/ray-of-the-drill/prom_metrics_service_discovery.json"]
    assert jobs["ingress"]["static_configs"] == [{"targets": ["127.0.0.1:8123"]}]


def test_rows_are_shown_and_decide_the_exit_status() -> None:
    seen = Row("DatabaseDown", "Postgres stands still", true_after_s=12.4, back_after_s=3.0)
    missed = Row("StoreDown", "the store stands still", note="was true before")
    skipped = next(not_here(["GpuXid"]))
    assert [row.passed for row in (seen, missed, skipped)] == [True, False, True]
    console = Console(file=StringIO(), width=200)
    console.print(table([seen, missed, skipped]))
    assert isinstance(console.file, StringIO)
    lines = {line.split()[1]: line for line in console.file.getvalue().splitlines()[3:-1]}
    assert "12 s" in lines["DatabaseDown"] and "3 s" in lines["DatabaseDown"]
    assert "NOT" in lines["StoreDown"] and "was true before" in lines["StoreDown"]
    assert "needs a GPU" in lines["GpuXid"] and "NOT" not in lines["GpuXid"]
    assert told(seen).endswith("true after 12 s") and "not caused here" in told(skipped)
    written = json.loads(json.dumps(seen.as_json()))
    assert written["true_after_s"] == 12.4 and "repaired_at" not in written


@pytest.mark.parametrize(
    ("values", "expected"), [(["NaN", "0"], True), (["NaN", "NaN"], False), ([], False)]
)
def test_a_quantile_of_nothing_is_no_data(
    values: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(path: str, params: dict[str, str]) -> httpx.Response:
        assert (path, params["start"], params["end"]) == ("/api/v1/query_range", "1", "2")
        series = [{"metric": {}, "values": [[1, value] for value in values]}] if values else []
        return httpx.Response(200, json={"status": "success", "data": {"result": series}})

    prometheus = Prometheus("http://127.0.0.1:9090")
    monkeypatch.setattr(prometheus._http, "get", answer)
    assert prometheus.had_data("up", 1.0, 2.0) is expected


class Seen:
    """A Prometheus that has seen only these names."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def had_data(self, expression: str, began: float, ended: float) -> bool:
        assert "$__" not in expression, "Grafana's variables mean nothing to Prometheus"
        assert (began, ended) == (1.0, 2.0)
        return any(name in expression for name in self._names)


def test_panels_without_data_fail_unless_they_need_a_card() -> None:
    every = list(panels.check(Seen("atelier", "(up)"), 1.0, 2.0))
    assert all(panel.passed for panel in every)
    without = [panel for panel in every if not panel.had_data]
    assert without and all(panel.needs_card for panel in without)
    some = list(panels.check(Seen("atelier_http", "DCGM"), 1.0, 2.0))
    failed = [panel.expression for panel in some if not panel.passed]
    assert "max(ray_atelier_gpus)" in failed
    console = Console(file=StringIO(), width=200)
    console.print(panels.table(some))
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "needs a card" in shown and "NOT" in shown and f"{len(some)} queries" in shown


class Late:
    """A Prometheus that is too slow for one query."""

    def had_data(self, expression: str, began: float, ended: float) -> bool:
        if "atelier_gpus_asked" in expression:
            raise PrometheusFailed("/api/v1/query_range: timed out")
        return True


def test_a_panel_that_cannot_be_asked_is_one_without_data() -> None:
    failed = [panel for panel in panels.check(Late(), 1.0, 2.0) if not panel.passed]
    assert [panel.expression for panel in failed] == ["max(ray_atelier_gpus_asked)"]
