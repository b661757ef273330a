"""The labels of metrics, and how many values each can have.

Each combination of values is a time series, so a label never holds what a client chose: no user, no
job, no path. ``values`` lists all of them where the code does. The others have as many as the
installation has generators, models or replicas; ``most`` is what a large one has.
"""

from __future__ import annotations

from dataclasses import dataclass

OTHER = "other"


@dataclass(frozen=True)
class Label:
    """A label: what its values are, all of them if the code lists them, and at most how many."""

    text: str
    values: tuple[str, ...] = ()
    most: int = 0

    @property
    def count(self) -> int:
        return len(self.values) or self.most


LABELS = {
    "generator": Label("an installed generator, or gpu_manager", most=12),
    "route": Label("the template of a route, as /v1/jobs/{job_id}", most=150),
    "method": Label(
        "the HTTP method",
        ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", OTHER),
    ),
    "status": Label("the status of an answer", most=40),
    "status_class": Label(
        "the first digit of an answer's status", ("1xx", "2xx", "3xx", "4xx", "5xx", OTHER)
    ),
    "rate_class": Label(
        "what a request counts as",
        ("read", "write", "submit", "upload", "login", "refresh", "public"),
    ),
    "outcome": Label("how a job ended", ("succeeded", "failed", "canceled")),
    "fault": Label(
        "whose fault a failed job was; none for the others", ("none", "input", "service")
    ),
    "found": Label(
        "what a submit found of an earlier result; gone: its row, but not its files",
        ("result", "nothing", "gone"),
    ),
    "priority": Label("of a job", ("high", "normal", "low")),
    "movement": Label(
        "a movement of the ledger",
        (
            "grant", "purchase", "hold", "capture", "release", "refund", "claw_back", "expire",
        ),
    ),
    "check": Label("a rule of billing.reconcile", most=40),
    "topic": Label("a topic of the outbox", ("enqueue", "notify", "webhook", "mail")),
    "delivery": Label(
        "what came of an attempt to deliver", ("delivered", "postponed", "given_up")
    ),
    "store": Label("a store", ("postgres", "redis", "objects", "documents")),
    "folder": Label("what a folder holds", ("data", "work")),
    "backup": Label("a kind of backup", ("base", "incremental", "wal", "objects", "drill")),
    "task": Label("a task of maintenance", most=40),
    "round": Label("how a round of a task ended", ("done", "waited", "failed")),
    "state": Label("of a message in a queue", ("waiting", "active")),
    "device": Label("cpu or cuda", most=2),
    "replica": Label("a running replica, by Ray's id", most=64),
    "model": Label("a model of the profile, by its key", most=40),
    "plan": Label("how a model is held in memory", most=8),
    "operation": Label("what a GPU manager is asked for, such as Draw", most=20),
}  # fmt: skip
