"""The connection to Stripe: API version, timeouts, retries, translation of errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import stripe
import structlog

from billing.settings import StripeSettings
from db.errors import StoreUnavailable

log = structlog.get_logger(__name__)

API_VERSION: Final = "2026-10-28.endive"
TIMEOUT_S = 10.0
RETRIES = 2


class StripeRejected(Exception):
    """Stripe rejected the request; ``code`` is Stripe's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"Stripe refused: {code}")
        self.code = code


class IdempotencyKeyReused(Exception):
    """The idempotency key was used with other parameters."""


class StripeConnection:
    """A client of Stripe; create and close it in the same running event loop."""

    def __init__(self, settings: StripeSettings) -> None:
        if settings.api_key is None:
            raise ValueError("there is no STRIPE_API_KEY")
        self._http = stripe.HTTPXClient(timeout=TIMEOUT_S)
        client = stripe.StripeClient(
            settings.api_key.get_secret_value(),
            stripe_version=API_VERSION,
            base_addresses={"api": settings.api_base} if settings.api_base else {},
            max_network_retries=RETRIES,
            http_client=self._http,
        )
        self.v1 = client.v1

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def translating_errors() -> AsyncIterator[None]:
    """Raise StoreUnavailable, IdempotencyKeyReused or StripeRejected for Stripe's errors.

    Stripe's own message is left out, since it may repeat parameters.
    """
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError, TimeoutError) as error:
        raise StoreUnavailable("stripe", type(error).__name__) from error
    except stripe.IdempotencyError as error:
        raise IdempotencyKeyReused from error
    except stripe.StripeError as error:
        if (error.http_status or 500) >= 500 or error.http_status == 409:
            raise StoreUnavailable("stripe", type(error).__name__) from error
        code = error.code or type(error).__name__
        if code != "resource_missing":
            param = getattr(error, "param", None)
            log.error("stripe_refused", code=code, param=param, stripe_request=error.request_id)
        raise StripeRejected(code) from error


def raise_unless_missing(error: StripeRejected) -> None:
    """Raise ``error`` again, unless it says that the resource does not exist."""
    if error.code != "resource_missing":
        raise error


def metadata(price: stripe.Price) -> dict[str, str]:
    return dict(price.metadata.to_dict()) if price.metadata else {}


def credits_of(price: stripe.Price) -> int:
    """Return the credits that one unit of the price grants; 0 for prices of others."""
    written = metadata(price).get("credits", "")
    return int(written) if written.isdecimal() else 0


def id_of(resource: Any) -> str | None:
    """Return the id of a resource that Stripe may have expanded."""
    if resource is None or isinstance(resource, str):
        return resource
    return str(resource.id)


def time_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
