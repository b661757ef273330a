"""The rules, their tests and the names in their expressions, as they lie in ``ops/prometheus``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from metrics import catalog
from metrics.metric import Histogram, Metric

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops" / "prometheus"
# Every metric of the catalog.
METRICS = tuple(value for value in vars(catalog).values() if isinstance(value, Metric))
RULE_FILES = ("alerts.yml", "slo.yml")
RULE_TESTS = ("alerts_test.yml", "alerts_slow_test.yml")

# What is neither a function nor a keyword of PromQL is the name of a metric.
_IN_BRACES = re.compile(r"\{[^}]*\}")
_TEXT = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_COMMENT = re.compile(r"#.*")
_DURATION = re.compile(r"\boffset\s+\w+")
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?")
_KEYWORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}


def exported_names(metric: Metric) -> set[str]:
    """The names of its series behind Ray's exporter."""
    if isinstance(metric, Histogram):
        return {f"ray_{metric.name}_{part}" for part in ("bucket", "count", "sum")}
    return {f"ray_{metric.name}"}


def load(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text("utf-8"))


def rules() -> Iterator[dict[str, Any]]:
    """Every rule, alerts and recordings."""
    for name in RULE_FILES:
        for group in load(name)["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def metric_names(expression: str) -> set[str]:
    """The names of the series that an expression reads."""
    for noise in (_COMMENT, _TEXT, _IN_BRACES, _RANGE, _GROUPING, _DURATION):
        expression = noise.sub(" ", expression)
    names = {word.strip() for word in _WORD.findall(expression) if not word.endswith("(")}
    return names - _KEYWORDS
