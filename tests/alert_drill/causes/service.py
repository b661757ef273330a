"""The API and maintenance: slow, silent, failing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.alert_drill.causes.cause import Cause, again_and_again, standing_still
from tests.alert_drill.stage import Stage

# Twice what ApiSlow bears, and shorter than a submit waits for a lock.
LOCKED_S = 1.0


@contextmanager
def submit_slowly(stage: Stage) -> Iterator[None]:
    """Each submit holds credits of its user, whose row another transaction has most of the time."""

    def lock() -> None:
        with psycopg.connect(stage.database_url) as connection:
            connection.execute("SELECT 1 FROM users WHERE email = 'demo@example.com' FOR UPDATE")
            time.sleep(LOCKED_S)

    with (
        again_and_again(lock, every_s=0.05),
        again_and_again(lambda: stage.submit("scribe", {"text": "slow"}), every_s=0.05, threads=4),
    ):
        yield


@contextmanager
def fail_at_a_task(stage: Stage) -> Iterator[None]:
    """A table is not there, as after half a migration."""
    stage.sql("ALTER TABLE stripe_events RENAME TO stripe_events_of_the_drill")
    try:
        yield
    finally:
        stage.sql("ALTER TABLE stripe_events_of_the_drill RENAME TO stripe_events")


@contextmanager
def stop_maintenance(stage: Stage) -> Iterator[None]:
    with standing_still(stage.replicas("keeper")):
        yield


@contextmanager
def stop_the_proxy(stage: Stage) -> Iterator[None]:
    with standing_still(stage.proxies()):
        yield


CAUSES = (
    Cause("the row of a user is locked while they submit", ("ApiSlow",), submit_slowly, 240),
    Cause("a table of a task is gone", ("MaintenanceFails",), fail_at_a_task),
    Cause("the keeper stands still", ("MaintenanceStopped",), stop_maintenance, 240),
    Cause("the proxy before the API stands still", ("ScrapeFails",), stop_the_proxy),
)
