"""The Prometheus metrics of one ingress replica, in their own registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one application, so that several applications can share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "atelier_http_requests_total",
            "Answers by method, route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "atelier_http_request_seconds",
            "Time until the answer ended; streams are left out.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.submitted = Counter(
            "atelier_jobs_submitted_total",
            "Jobs accepted, by generator.",
            ("generator",),
            registry=self.registry,
        )
        self.push_failures = Counter(
            "atelier_queue_push_failures_total",
            "Jobs accepted whose push was left to maintenance.",
            ("generator",),
            registry=self.registry,
        )
        self.welcome_withheld = Counter(
            "atelier_welcome_credits_withheld_total",
            "Accounts made without welcome credits, since those of the day were used up.",
            registry=self.registry,
        )
        self.streams = Gauge(
            "atelier_event_streams",
            "Event streams and waiting requests open now.",
            registry=self.registry,
        )
        self.queue = Gauge(
            "atelier_queue_jobs",
            "Jobs in the queue by generator and state (waiting, active).",
            ("generator", "state"),
            registry=self.registry,
        )

    def render(self) -> bytes:
        """Return the metrics in the text exposition format."""
        return generate_latest(self.registry)
