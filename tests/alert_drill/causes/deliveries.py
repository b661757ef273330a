"""Webhooks come late, are refused, or are not sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.alert_drill.causes.cause import Cause, again_and_again, standing_still
from tests.alert_drill.stage import Stage

# More than are sent to one user at a time, so that they end at several moments.
LATE = 10
# DeliveriesGivenUp looks for more than ten in an hour.
REFUSED = 14


@contextmanager
def answer_late(stage: Stage) -> Iterator[None]:
    _submit_with_webhook(stage, f"{stage.receiver.url}/late", LATE)
    try:
        yield
    finally:
        stage.sql("DELETE FROM outbox WHERE topic = 'webhook' AND done_at IS NULL")


@contextmanager
def refuse(stage: Stage) -> Iterator[None]:
    _submit_with_webhook(stage, f"{stage.receiver.url}/gone", REFUSED)
    yield


def _submit_with_webhook(stage: Stage, url: str, jobs: int) -> None:
    for number in range(jobs):
        stage.submit("scribe", {"text": f"webhook {number}"}, webhook_url=url)


@contextmanager
def stop_redis(stage: Stage) -> Iterator[None]:
    """A job is accepted meanwhile; that its message is due for long is written into its row."""
    late = (
        "UPDATE outbox SET available_at = now() - interval '10 minutes'"
        " WHERE topic = 'enqueue' AND done_at IS NULL"
    )
    with standing_still([stage.server("valkey")]):
        submitted = stage.submit("scribe", {"text": "no queue takes it"})
        with again_and_again(lambda: stage.sql(late), every_s=1.0):
            yield
    stage.finish(submitted)


CAUSES = (
    Cause(
        "a receiver hangs",
        ("WebhookBudgetBurnsFast", "WebhookBudgetBurnsSlow"),
        answer_late,
        within_s=180,
    ),
    Cause("a receiver answers 410", ("DeliveriesGivenUp",), refuse),
    Cause("Redis stands still while a job is submitted", ("OutboxStalls",), stop_redis),
)
