"""Grafana's dashboards are those of ``scripts/dashboards.py``, and their queries are PromQL."""

import json
from pathlib import Path

import pytest
import yaml

from scripts import check_dashboards, dashboards
from tests.support.rules import ROOT

GRAFANA = ROOT / "ops" / "grafana"


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda one: one.name)
def test_the_files_are_those_of_the_script(dashboard: dashboards.Dashboard) -> None:
    path = dashboards.FOLDER / f"{dashboard.name}.json"
    hint = "run: python -m scripts.dashboards --write"
    assert path.read_text("utf-8") == dashboards.render(dashboard), hint


def test_no_file_is_left_of_a_dashboard_that_is_gone() -> None:
    names = {f"{one.name}.json" for one in dashboards.DASHBOARDS}
    assert {path.name for path in dashboards.FOLDER.iterdir()} == names


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda one: one.name)
def test_panels_do_not_overlap_and_read_the_provisioned_source(
    dashboard: dashboards.Dashboard,
) -> None:
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    uid = source["datasources"][0]["uid"]
    panels = json.loads(dashboards.render(dashboard))["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})
    for panel in panels:
        assert panel["datasource"]["uid"] == uid and panel["targets"]


def test_the_script_says_which_file_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboards, "FOLDER", tmp_path)
    assert dashboards.main([]) == 1
    assert dashboards.main(["--write"]) == 0 and dashboards.main([]) == 0
    (tmp_path / "money.json").write_text("{}")
    assert dashboards.main([]) == 1
    assert "has them: money.json;" in capsys.readouterr().out


def test_no_prometheus_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_dashboards.main(["--prometheus", "http://127.0.0.1:1"]) == 2
    assert "did not answer" in capsys.readouterr().err
