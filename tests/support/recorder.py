"""What was recorded of metrics, in place of Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from metrics import sink
from metrics.labels import LABELS
from metrics.metric import Metric
from metrics.sink import Kind

Series = tuple[str, tuple[tuple[str, str], ...]]


class Recorder:
    """Sums of counters, last values of gauges and all values of histograms, by name and labels.

    A label's value that ``metrics.labels`` does not list is an error.
    """

    def __init__(self) -> None:
        self.values: dict[Series, float] = {}
        self.observed: dict[Series, list[float]] = {}

    def record(self, metric: Metric, kind: Kind, value: float, labels: dict[str, str]) -> None:
        for name, one in labels.items():
            known = LABELS[name].values
            assert isinstance(one, str) and (not known or one in known), f"{metric.name}: {one!r}"
        series = metric.name, tuple(sorted(labels.items()))
        if kind == "histogram":
            self.observed.setdefault(series, []).append(value)
        elif kind == "counter":
            self.values[series] = self.values.get(series, 0) + value
        else:
            self.values[series] = value

    def value(self, metric: Metric, **labels: str) -> float:
        """The value of one series; 0 if it was never recorded."""
        return self.values.get((metric.name, tuple(sorted(labels.items()))), 0)

    def seconds(self, metric: Metric, **labels: str) -> list[float]:
        """What a series of a histogram observed."""
        return self.observed.get((metric.name, tuple(sorted(labels.items()))), [])

    def labelled(self, name: str, label: str) -> float:
        """The value of the only series of that name with the text ``label`` in its labels."""
        (found,) = [
            v for (n, labels), v in self.values.items() if n == name and label in str(labels)
        ]
        return found


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record what is recorded in the block."""
    recorder = Recorder()
    before, sink.current = sink.current, recorder
    try:
        yield recorder
    finally:
        sink.current = before
