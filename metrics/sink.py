"""Where recorded values go: to Ray, if this process is part of a Ray cluster.

Ray is never imported here by itself: a process that uses it has it loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from metrics.metric import Metric

Kind = Literal["counter", "gauge", "histogram"]


class Sink(Protocol):
    """What takes recorded values."""

    def record(self, metric: Metric, kind: Kind, value: float, labels: dict[str, str]) -> None: ...


@runtime_checkable
class HasBuckets(Protocol):
    """What a histogram has, and no other metric."""

    @property
    def buckets(self) -> tuple[float, ...]: ...


class RaySink:
    """Ray's user metrics, each made when it is first recorded."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def record(self, metric: Metric, kind: Kind, value: float, labels: dict[str, str]) -> None:
        ray = sys.modules.get("ray")
        # While ray is being imported by another thread its module is there and empty.
        if ray is None or not getattr(ray, "is_initialized", bool)():
            return
        made = self._made.get(metric.name)
        if made is None:
            made = self._made.setdefault(metric.name, _make(metric, kind))
        match kind:
            case "counter" if value == 0:
                made._record(0, labels)  # ``inc`` refuses it, and the series is to begin there
            case "counter":
                made.inc(value, labels)
            case "gauge":
                made.set(value, labels)
            case "histogram":
                made.observe(value, labels)


def _make(metric: Metric, kind: Kind) -> Any:
    from ray.util import metrics as of_ray

    named = metric.name, metric.text
    match kind:
        case "counter":
            return of_ray.Counter(*named, tag_keys=metric.labels)
        case "gauge":
            return of_ray.Gauge(*named, tag_keys=metric.labels)
        case "histogram":
            assert isinstance(metric, HasBuckets)
            return of_ray.Histogram(*named, list(metric.buckets), metric.labels)


current: Sink = RaySink()  # tests put their own here


def record(metric: Metric, kind: Kind, value: float, labels: Mapping[str, str]) -> None:
    """Hand a value to the sink.

    Raises:
        ValueError: the labels are not those of the metric: a mistake of ours, which tests find.
    """
    if set(labels) != set(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, not {tuple(labels)}")
    current.record(metric, kind, value, dict(labels))


_kept: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Metric, float]] = {}


def keep(metric: Metric, value: float, labels: Mapping[str, str]) -> None:
    """Remember a gauge that is set less often than the exporter forgets."""
    _kept[metric.name, tuple(sorted(labels.items()))] = metric, value


def repeat_kept() -> None:
    """Record all kept gauges once more; call it more often than every twenty seconds."""
    for (_, labels), (metric, value) in list(_kept.items()):
        record(metric, "gauge", value, dict(labels))
