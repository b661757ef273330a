"""Which calls there are, what each may be told, and who answers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from scripts.dev.stripe_standin import catalog, checkout, clock, money, subscriptions
from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.world import Object, World

Answer = Callable[..., Object]
Found = Callable[[World, Object], list[Object]]


@dataclass(frozen=True)
class Route:
    """``{}`` in the path is an id. ``params`` is the SDK's type of what may be sent."""

    method: str
    path: str
    params: str
    answer: Answer | None = None
    listed: Found | None = None

    def match(self, method: str, path: str) -> tuple[str, ...] | None:
        pattern = re.escape(self.path).replace(r"\{\}", "([^/]+)")
        found = re.fullmatch(pattern, path)
        return found.groups() if found and method == self.method else None


def _get(kind: str) -> Answer:
    def answer(world: World, given: Object, found: str) -> Object:
        return world.get(kind, found)

    return answer


def _all(kind: str, *filters: str) -> Found:
    def found(world: World, given: Object) -> list[Object]:
        return world.all(kind, **{name: given.get(name) for name in filters})

    return found


def _subscriptions(world: World, given: Object) -> list[Object]:
    status = given.get("status")
    rows = world.all("subscription", customer=given.get("customer"))
    if status == "all":
        return rows
    if status is None:
        return [row for row in rows if row["status"] != "canceled"]
    return [row for row in rows if row["status"] == status]


def _invoices(world: World, given: Object) -> list[Object]:
    wanted = given.get("subscription")
    rows = world.all("invoice", customer=given.get("customer"), status=given.get("status"))
    if wanted is None:
        return rows
    return [
        row
        for row in rows
        if ((row["parent"] or {}).get("subscription_details") or {}).get("subscription") == wanted
    ]


def _invoice_payments(world: World, given: Object) -> list[Object]:
    rows = world.all("invoice_payment", invoice=given.get("invoice"), status=given.get("status"))
    intent = given.get("payment", {}).get("payment_intent")
    return [row for row in rows if intent in (None, row["payment"]["payment_intent"])]


def _events(world: World, given: Object) -> list[Object]:
    types = given.get("types") or ([given["type"]] if "type" in given else None)
    return [row for row in world.all("event") if types is None or row["type"] in types]


def _pay_invoice(world: World, given: Object, invoice_id: str) -> Object:
    invoice = world.get("invoice", invoice_id)
    if not subscriptions.pay(world, invoice):
        raise Problem(
            "Your card was declined.", code="card_declined", status=402, type="card_error"
        )
    return invoice


def _portal(world: World, given: Object) -> Object:
    if "customer" not in given:
        raise Problem(
            "Missing required param: customer.", code="parameter_missing", param="customer"
        )
    world.get("customer", given["customer"], "customer", 400)
    session = world.make("billing_portal.session", **given)
    session["url"] = f"{world.private.get('base', '')}/p/session/{session['id']}"
    return session


def _balance(world: World, given: Object) -> Object:
    empty = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return {"object": "balance", "available": empty, "pending": empty, "livemode": False}


ROUTES = (
    Route("GET", "/v1/balance", "BalanceRetrieveParams", _balance),
    Route("POST", "/v1/customers", "CustomerCreateParams", catalog.create_customer),
    Route("GET", "/v1/customers", "CustomerListParams", listed=_all("customer", "email")),
    Route("GET", "/v1/customers/{}", "CustomerRetrieveParams", _get("customer")),
    Route("POST", "/v1/customers/{}", "CustomerUpdateParams", catalog.update_customer),
    Route("POST", "/v1/products", "ProductCreateParams", catalog.create_product),
    Route("GET", "/v1/products", "ProductListParams", listed=_all("product", "active")),
    Route("GET", "/v1/products/{}", "ProductRetrieveParams", _get("product")),
    Route("POST", "/v1/prices", "PriceCreateParams", catalog.create_price),
    Route("GET", "/v1/prices", "PriceListParams", listed=catalog.list_prices),
    Route("GET", "/v1/prices/{}", "PriceRetrieveParams", _get("price")),
    Route("POST", "/v1/prices/{}", "PriceUpdateParams", catalog.update_price),
    Route("POST", "/v1/checkout/sessions", "checkout.SessionCreateParams", checkout.create),
    Route(
        "GET",
        "/v1/checkout/sessions",
        "checkout.SessionListParams",
        listed=checkout.list_sessions,
    ),
    Route(
        "GET",
        "/v1/checkout/sessions/{}",
        "checkout.SessionRetrieveParams",
        _get("checkout.session"),
    ),
    Route(
        "POST",
        "/v1/checkout/sessions/{}/expire",
        "checkout.SessionExpireParams",
        checkout.expire,
    ),
    Route("GET", "/v1/payment_intents/{}", "PaymentIntentRetrieveParams", _get("payment_intent")),
    Route(
        "GET",
        "/v1/payment_intents",
        "PaymentIntentListParams",
        listed=_all("payment_intent", "customer"),
    ),
    Route("GET", "/v1/charges/{}", "ChargeRetrieveParams", _get("charge")),
    Route(
        "GET",
        "/v1/charges",
        "ChargeListParams",
        listed=lambda world, given: money.list_by_payment(world, "charge", given),
    ),
    Route("POST", "/v1/refunds", "RefundCreateParams", money.create_refund),
    Route("GET", "/v1/refunds/{}", "RefundRetrieveParams", _get("refund")),
    Route(
        "GET",
        "/v1/refunds",
        "RefundListParams",
        listed=lambda world, given: money.list_by_payment(world, "refund", given),
    ),
    Route("GET", "/v1/disputes/{}", "DisputeRetrieveParams", _get("dispute")),
    Route(
        "GET",
        "/v1/disputes",
        "DisputeListParams",
        listed=lambda world, given: money.list_by_payment(world, "dispute", given),
    ),
    Route("GET", "/v1/subscriptions/{}", "SubscriptionRetrieveParams", _get("subscription")),
    Route("GET", "/v1/subscriptions", "SubscriptionListParams", listed=_subscriptions),
    Route("POST", "/v1/subscriptions/{}", "SubscriptionUpdateParams", subscriptions.update),
    Route("DELETE", "/v1/subscriptions/{}", "SubscriptionCancelParams", subscriptions.cancel),
    Route("GET", "/v1/invoices/{}", "InvoiceRetrieveParams", _get("invoice")),
    Route("GET", "/v1/invoices", "InvoiceListParams", listed=_invoices),
    Route("POST", "/v1/invoices/{}/pay", "InvoicePayParams", _pay_invoice),
    Route("GET", "/v1/invoice_payments", "InvoicePaymentListParams", listed=_invoice_payments),
    Route("POST", "/v1/billing_portal/sessions", "billing_portal.SessionCreateParams", _portal),
    Route(
        "POST",
        "/v1/test_helpers/test_clocks",
        "test_helpers.TestClockCreateParams",
        catalog.create_clock,
    ),
    Route(
        "GET",
        "/v1/test_helpers/test_clocks/{}",
        "test_helpers.TestClockRetrieveParams",
        _get("test_helpers.test_clock"),
    ),
    Route(
        "POST",
        "/v1/test_helpers/test_clocks/{}/advance",
        "test_helpers.TestClockAdvanceParams",
        clock.advance_clock,
    ),
    Route("GET", "/v1/events/{}", "EventRetrieveParams", _get("event")),
    Route("GET", "/v1/events", "EventListParams", listed=_events),
    Route("POST", "/v1/webhook_endpoints", "WebhookEndpointCreateParams", catalog.create_endpoint),
    Route(
        "GET",
        "/v1/webhook_endpoints",
        "WebhookEndpointListParams",
        listed=_all("webhook_endpoint"),
    ),
    Route(
        "DELETE",
        "/v1/webhook_endpoints/{}",
        "WebhookEndpointDeleteParams",
        catalog.delete_endpoint,
    ),
)
