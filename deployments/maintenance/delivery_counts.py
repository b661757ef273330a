"""Count the attempts to deliver webhooks and mails, and how soon the first one was made."""

from __future__ import annotations

from datetime import UTC, datetime

from db.outbox import rows as outbox
from db.tables import Outbox
from metrics import catalog
from metrics.labels import LABELS

COUNTED_TOPICS = (outbox.WEBHOOK, outbox.MAIL)


def start_counts() -> None:
    """Show the counters at zero, so that the first delivery given up counts as an increase."""
    for topic in COUNTED_TOPICS:
        for delivery in LABELS["delivery"].values:
            catalog.DELIVERIES.start(topic=topic, delivery=delivery)


def count_delivery(row: Outbox, delivery: str) -> None:
    """Count an attempt that ended; ``delivery`` is delivered, postponed or given_up."""
    catalog.DELIVERIES.inc(topic=row.topic, delivery=delivery)
    if row.attempts == 1:
        delay = datetime.now(UTC) - row.created_at
        catalog.DELIVERY_DELAY.observe(delay.total_seconds(), topic=row.topic)
