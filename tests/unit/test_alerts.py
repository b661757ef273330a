"""The alert rules: each has a runbook section, a case that fires and one that is silent."""

import re
from typing import Any

import pytest

from tests.support.rules import ROOT, RULE_TESTS, alerts, load, metric_names, rules

ALERTS = alerts()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"(?ms)^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK))


def named(alert: dict[str, Any]) -> str:
    return str(alert["alert"])


@pytest.mark.parametrize("alert", ALERTS, ids=named)
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"


@pytest.mark.parametrize("alert", ALERTS, ids=named)
def test_its_runbook_section_has_three_commands_and_says_when_to_wake(
    alert: dict[str, Any],
) -> None:
    section = SECTIONS[alert["alert"]]
    (commands,) = re.findall(r"```bash\n(.*?)\n```", section, re.DOTALL)
    assert len(commands.splitlines()) == 3
    assert section.split("```bash")[0].strip(), "it says nothing of what the alert means"
    assert "**Wake somebody**: " in section


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    assert set(SECTIONS) == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=named)
def test_it_has_a_case_that_fires_and_one_that_is_silent(alert: dict[str, Any]) -> None:
    read = metric_names(alert["expr"])
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    for record in read & set(recorded):
        read |= metric_names(recorded[record])
    fires = set()
    for test in (test for name in RULE_TESTS for test in load(name)["tests"]):
        for case in test["alert_rule_test"]:
            if case["alertname"] == alert["alert"]:
                series = {re.split(r"[{ ]", one["series"])[0] for one in test["input_series"]}
                assert series & read, "a case without the alert's series shows nothing"
                fires.add(bool(case["exp_alerts"]))
    assert fires == {True, False}


def test_no_alert_is_there_twice() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(names) == len(set(names))


def test_inhibition_names_alerts_that_are_there() -> None:
    text = (ROOT / "ops" / "alertmanager" / "alertmanager.yml").read_text("utf-8")
    names = {alert["alert"] for alert in ALERTS}
    for pattern in re.findall(r'alertname(?:=~|=)"([^"]+)"', text):
        for one in pattern.split("|"):
            assert any(re.fullmatch(one, name) for name in names), one
