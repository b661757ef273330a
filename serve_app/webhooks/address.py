"""Check the address of a webhook."""

from __future__ import annotations

from deployments.messaging import http_client
from deployments.messaging.webhooks import check_address
from serve_app.http.errors import BadInput, FieldError
from serve_app.resources import Clients


def check_url(clients: Clients, url: str, field: str) -> None:
    """Raise BadInput at ``field`` for a refused address. Names are not resolved here."""
    try:
        check_address(url, private=clients.settings.limits.fetch_private)
    except http_client.RequestFailed as reason:
        fault: FieldError = {"loc": [field], "msg": str(reason), "code": "invalid_url"}
        raise BadInput(f"{field}: {reason}", errors=[fault]) from reason
