"""Count the attempts to deliver webhooks and mails, and how soon the first one was made."""

from __future__ import annotations

from datetime import UTC, datetime

from db.tables import Outbox
from metrics import catalog


def count_delivery(row: Outbox, delivery: str) -> None:
    """Count an attempt that ended; ``delivery`` is delivered, postponed or given_up."""
    catalog.DELIVERIES.inc(topic=row.topic, delivery=delivery)
    if row.attempts == 1:
        delay = datetime.now(UTC) - row.created_at
        catalog.DELIVERY_DELAY.observe(delay.total_seconds(), topic=row.topic)
