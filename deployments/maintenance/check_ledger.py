"""Check the ledger against its rules and against Stripe, and show how many rows differ.

The rules read whole tables, so this runs a few times an hour. It changes nothing; what differs is
listed by ``atelier-admin reconcile``.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import structlog

from billing.reconcile import CHECKS, reconcile
from billing.stripe.reconcile import reconcile_with_stripe
from db.operations import measurements
from deployments.maintenance.context import MaintenanceContext
from metrics import catalog

# How far back Stripe is asked. Payments of the last minutes are still on their way.
STRIPE_LOOKBACK = timedelta(days=3)

log = structlog.get_logger(__name__)


async def check_ledger(context: MaintenanceContext) -> int:
    """Set the gauges of the ledger's rules and of batches; returns how many rows break a rule."""
    async with context.stores.sessions() as session:
        # All rules see the same moment, without locks.
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        differences = await reconcile(session)
        batches = await measurements.open_batches(session)
    found = Counter(difference.check for difference in differences)
    for check in CHECKS:
        catalog.LEDGER_FINDINGS.keep(found[check.name], check=check.name)
    if differences:
        log.error("ledger_differs", **found)
    catalog.BATCHES_OPEN.keep(batches.rows)
    catalog.BATCH_OLDEST.keep(batches.oldest_s)
    catalog.LEDGER_CHECKED.keep(time.time())
    return len(differences)


async def compare_with_stripe(context: MaintenanceContext) -> int:
    """Set the gauge of payments that Stripe and the ledger do not agree on; returns how many.

    Raises:
        StoreUnavailable: Stripe did not answer.
    """
    if context.stripe is None:
        return 0
    async with context.stores.sessions() as session:
        since = datetime.now(UTC) - STRIPE_LOOKBACK
        unmatched = len(await reconcile_with_stripe(session, context.stripe, since))
        unmatched += await measurements.stripe_given_up(session)
    catalog.STRIPE_UNMATCHED.keep(unmatched)
    if unmatched:
        log.error("stripe_differs", rows=unmatched)
    return unmatched
