"""The books are wrong, unchecked, or behind Stripe's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.alert_drill.causes.cause import Cause, standing_still
from tests.alert_drill.stage import Stage

_ADD_TO_BALANCE = "UPDATE users SET balance = balance + %s WHERE email = 'demo@example.com'"
# As the inbox writes it, of an event that came ``%s`` ago.
_EVENT = """
    INSERT INTO stripe_events (id, type, object_id, payload, occurred_at, received_at, attempts,
                               processed_at, outcome, error)
    VALUES (%s, 'checkout.session.completed', 'cs_drill',
            '{"data": {"object": {"id": "cs_drill"}}}', now(), now() - %s::interval, 1, %s, %s, %s)
"""


@contextmanager
def corrupt_a_balance(stage: Stage) -> Iterator[None]:
    stage.sql(_ADD_TO_BALANCE, 1)
    try:
        stage.restart_maintenance()  # checks the ledger at once, not in a quarter of an hour
        yield
    finally:
        stage.sql(_ADD_TO_BALANCE, -1)
        stage.restart_maintenance()


@contextmanager
def keep_the_check_from_ending(stage: Stage) -> Iterator[None]:
    try:
        with psycopg.connect(stage.database_url) as connection:
            connection.execute("LOCK TABLE reversals IN ACCESS EXCLUSIVE MODE")
            stage.restart_maintenance()
            yield
    finally:
        stage.restart_maintenance()


@contextmanager
def give_an_event_up(stage: Stage) -> Iterator[None]:
    row = stage.sql("SELECT now()")[0][0]
    stage.sql(_EVENT, "evt_drill_given_up", "3 days", row, "failed", "the drill gave it up")
    try:
        stage.restart_maintenance()  # compares with Stripe at once, and not within the hour
        yield
    finally:
        stage.sql("DELETE FROM stripe_events WHERE id = 'evt_drill_given_up'")
        stage.restart_maintenance()


@contextmanager
def stop_stripe(stage: Stage) -> Iterator[None]:
    """It goes on before the row is deleted, which whoever asks it has locked."""
    try:
        with standing_still([stage.server("stripe-stand-in")]):
            stage.sql(_EVENT, "evt_drill_waits", "11 minutes", None, None, None)
            yield
    finally:
        stage.sql("DELETE FROM stripe_events WHERE id = 'evt_drill_waits'")


CAUSES = (
    Cause("a balance is changed behind the ledger's back", ("LedgerDrift",), corrupt_a_balance),
    Cause(
        "a table is locked, so that the check of the ledger never ends",
        ("LedgerUnchecked",),
        keep_the_check_from_ending,
    ),
    Cause("an event of Stripe was given up", ("StripeUnmatched",), give_an_event_up),
    Cause("Stripe does not answer, and an event waits", ("StripeInboxLags",), stop_stripe),
)
