"""The metrics of one ingress replica: its own page at ``/metrics``, and Ray's.

Where Ray runs, Ray's exporter shows those of all replicas. Without Ray the page is all there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest

from billing import credit_counts
from metrics import catalog, sink
from metrics.metric import Counter, Gauge, Histogram, Metric
from serve_app.http.rates import OF_ADDRESSES, OF_USERS

REPEAT_INTERVAL_S = 10.0
# What alerts look for: an answer of ours that is an error, and a store that is away.
OUR_ERRORS = ("500", "503")
# Whose first answer of a process may be such an error, with nothing before it to compare with.
SUBMITS = (("POST", "/v1/jobs"), ("POST", "/v1/batches"))


class _Shown:
    """A metric of the catalog that is also in this application's registry."""

    def __init__(self, metric: Metric, kind: Any, registry: CollectorRegistry, **more: Any) -> None:
        self._own = kind(metric.name, metric.text, metric.labels, registry=registry, **more)

    def _labelled(self, labels: dict[str, str]) -> Any:
        return self._own.labels(**labels) if labels else self._own


class ShownCounter(_Shown):
    def __init__(self, metric: Counter, registry: CollectorRegistry) -> None:
        super().__init__(metric, prometheus_client.Counter, registry)
        self._metric = metric

    def inc(self, value: float = 1, **labels: str) -> None:
        self._labelled(labels).inc(value)
        self._metric.inc(value, **labels)

    def start(self, **labels: str) -> None:
        """Show the series at zero, as ``Counter.start`` does."""
        self._labelled(labels)
        self._metric.start(**labels)


class ShownGauge(_Shown):
    """``everywhere`` is False for what every replica would report alike."""

    def __init__(
        self, metric: Gauge, registry: CollectorRegistry, *, everywhere: bool = True
    ) -> None:
        super().__init__(metric, prometheus_client.Gauge, registry)
        self._metric, self._everywhere = metric, everywhere

    def set(self, value: float, **labels: str) -> None:
        self._labelled(labels).set(value)
        if self._everywhere:
            self._metric.keep(value, **labels)


class ShownHistogram(_Shown):
    def __init__(self, metric: Histogram, registry: CollectorRegistry) -> None:
        super().__init__(metric, prometheus_client.Histogram, registry, buckets=metric.buckets)
        self._metric = metric

    def observe(self, value: float, **labels: str) -> None:
        self._labelled(labels).observe(value)
        self._metric.observe(value, **labels)


async def repeat_gauges() -> None:
    """Show gauges that did not change to Ray's exporter again and again, until canceled."""
    while True:
        await asyncio.sleep(REPEAT_INTERVAL_S)
        sink.repeat_kept()


class Metrics:
    """The metrics of one application, so that several applications can share a process."""

    def __init__(self, generators: Iterable[str] = ()) -> None:
        """``generators`` are those that the application serves."""
        self.registry = CollectorRegistry()
        self.requests = ShownCounter(catalog.HTTP_REQUESTS, self.registry)
        self.seconds = ShownHistogram(catalog.HTTP_SECONDS, self.registry)
        self.submitted = ShownCounter(catalog.JOBS_SUBMITTED, self.registry)
        self.push_failures = ShownCounter(catalog.PUSH_FAILURES, self.registry)
        self.result_cache = ShownCounter(catalog.RESULT_CACHE, self.registry)
        self.welcome_withheld = ShownCounter(catalog.WELCOME_WITHHELD, self.registry)
        self.rate_limited = ShownCounter(catalog.RATE_LIMITED, self.registry)
        self.streams = ShownGauge(catalog.EVENT_STREAMS, self.registry)
        self.queue = ShownGauge(catalog.QUEUE_JOBS, self.registry, everywhere=False)
        self._answered: set[tuple[str, str]] = set()
        for method, route in SUBMITS:
            self._start_errors(method, route)
        for generator in generators:
            self.push_failures.start(generator=generator)
        self.welcome_withheld.start()
        for rate_class in {*OF_USERS, *OF_ADDRESSES}:
            self.rate_limited.start(rate_class=rate_class)
        self.streams.set(0)
        credit_counts.start_counts()

    def count_answer(self, method: str, route: str, status: str) -> None:
        """Count one; the first of a route starts the counters of its errors as well."""
        self._start_errors(method, route)
        self.requests.inc(method=method, route=route, status=status)

    def _start_errors(self, method: str, route: str) -> None:
        if (method, route) in self._answered:
            return
        self._answered.add((method, route))
        for error in OUR_ERRORS:
            self.requests.start(method=method, route=route, status=error)

    def render(self) -> bytes:
        """Return the metrics in the text exposition format."""
        return generate_latest(self.registry)
