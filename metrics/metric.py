"""Counter, gauge and histogram: a name, what it says, its labels, and how to record a value.

A metric is a declaration and holds no values: ``metrics.sink`` hands what is recorded to Ray, whose
exporter shows it as ``ray_<name>``. Without Ray nothing is kept, and recording costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from metrics import sink


@dataclass(frozen=True)
class Metric:
    """Units are base units and end the name (``_seconds``, ``_bytes``)."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counter(Metric):
    """Only rises, until its process ends; its name ends with ``_total``."""

    def inc(self, value: float = 1, **labels: str) -> None:
        """Count ``value`` more; zero or less is nothing to count.

        Raises:
            ValueError: the labels are not those of the metric.
        """
        if value > 0:
            sink.record(self, "counter", value, labels)

    def start(self, **labels: str) -> None:
        """Show the series at zero, where it was not counted yet.

        ``increase`` and ``rate`` compare what Prometheus saw: of a series that begins at one they
        miss that one. So whoever counts what an alert looks for starts it when its process starts.

        Raises:
            ValueError: the labels are not those of the metric.
        """
        sink.record(self, "counter", 0, labels)


@dataclass(frozen=True)
class Gauge(Metric):
    """Goes up and down. Each process has its own."""

    def set(self, value: float, **labels: str) -> None:
        """Replace the value.

        Raises:
            ValueError: the labels are not those of the metric.
        """
        sink.record(self, "gauge", value, labels)

    def keep(self, value: float, **labels: str) -> None:
        """Replace the value, and show it until it is replaced again, in a process that calls
        ``sink.repeat_kept``: Ray's exporter drops what was not set for twenty seconds.

        Raises:
            ValueError: the labels are not those of the metric.
        """
        self.set(value, **labels)
        sink.keep(self, value, labels)


@dataclass(frozen=True)
class Histogram(Metric):
    """Counts values by bucket; ``buckets`` are upper bounds above zero, in rising order."""

    buckets: tuple[float, ...] = ()

    def observe(self, value: float, **labels: str) -> None:
        """Add one value.

        Raises:
            ValueError: the labels are not those of the metric.
        """
        sink.record(self, "histogram", max(value, 0.0), labels)
