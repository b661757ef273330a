"""Stripe's webhook: verify an event and store it; the maintenance loop processes it later."""

from __future__ import annotations

import structlog

from billing.stripe import inbox
from billing.stripe.events import BadSignature
from serve_app.billing import customer
from serve_app.http.errors import InvalidSignature
from serve_app.resources import Clients

log = structlog.get_logger()


async def receive(clients: Clients, payload: bytes, signature: str | None) -> None:
    """Store the event; an event that was stored before changes nothing.

    Raises:
        BillingDisabled: payments are not set up here.
        InvalidSignature: Stripe did not sign it, or it is too old or altered; nothing is stored.
    """
    try:
        event = customer.require_gateway(clients).events.verify(payload, signature)
    except BadSignature as error:
        log.warning("stripe_webhook_refused", reason=str(error))
        raise InvalidSignature from error
    async with clients.sessions.begin() as session:
        new = await inbox.store_event(session, event)
    log.info("stripe_webhook_kept", event_id=event.id, type=event.type, new=new)
