"""Send a test event, so that a receiver can be tested without a job."""

from __future__ import annotations

import structlog

from deployments.messaging.webhooks import sample_event, send
from serve_app.resources import Clients
from serve_app.webhooks.address import check_url
from serve_app.webhooks.schemas import TriedView
from serve_app.webhooks.secret import signing_secrets

log = structlog.get_logger()


async def send_test(clients: Clients, user_id: str, url: str) -> TriedView:
    """Send a signed event and return the receiver's answer; takes ten seconds at most.

    Raises:
        BadInput: the address is refused.
    """
    check_url(clients, url, "url")
    secrets = await signing_secrets(clients, user_id)
    private = clients.settings.limits.fetch_private
    receipt = await send(sample_event(), url, secrets, private=private)
    log.info("webhook_tried", status=receipt.status, error=receipt.error)
    return TriedView(
        delivered=receipt.delivered,
        status_code=receipt.status,
        milliseconds=receipt.milliseconds,
        error=receipt.error,
    )
