"""The connection to Stripe: version, timeouts, retries, and its errors in our words."""

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
    """Stripe understood and said no; ``code`` is its own word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"Stripe refused: {code}")
        self.code = code


class IdempotencyKeyReused(Exception):
    """The idempotency key came before with other parameters."""


class StripeConnection:
    """Made in a running event loop, closed in the same."""

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
    """Raises StoreUnavailable (try later), KeyReused or Refused; never with Stripe's own words,
    which may hold what was sent."""
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
    """Raises what it was given, unless that says that there is no such thing."""
    if error.code != "resource_missing":
        raise error


def metadata(price: stripe.Price) -> dict[str, str]:
    return dict(price.metadata.to_dict()) if price.metadata else {}


def credits_of(price: stripe.Price) -> int:
    """What one of it brings; 0 if it is none of ours."""
    written = metadata(price).get("credits", "")
    return int(written) if written.isdecimal() else 0


def id_of(found: Any) -> str | None:
    """The id of something that may have been expanded."""
    if found is None or isinstance(found, str):
        return found
    return str(found.id)


def time_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
