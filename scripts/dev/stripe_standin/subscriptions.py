"""Subscriptions and their invoices: renewals, retries, changes of plan, ends."""

from __future__ import annotations

from calendar import monthrange
from copy import deepcopy
from datetime import UTC, datetime

from scripts.dev.stripe_standin import money
from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.world import Object, World

DAY = 86_400
# Days after the first failure on which a payment is tried again; then the subscription is canceled.
RETRIES = (3, 5, 7)
RUNNING = ("active", "trialing", "past_due")


def month_after(seconds: int) -> int:
    at = datetime.fromtimestamp(seconds, UTC)
    year, month = at.year + at.month // 12, at.month % 12 + 1
    day = min(at.day, monthrange(year, month)[1])
    return int(at.replace(year=year, month=month, day=day).timestamp())


def subscribe(world: World, customer: str, price: Object, metadata: Object) -> Object:
    """A subscription with its first invoice paid."""
    now = world.now(customer)
    subscription = world.make(
        "subscription",
        customer=customer,
        currency=price["currency"],
        status="incomplete",
        cancel_at_period_end=False,
        collection_method="charge_automatically",
        start_date=now,
        billing_cycle_anchor=now,
        metadata=metadata,
        test_clock=world.objects["customer"][customer].get("test_clock"),
    )
    item = world.make(
        "subscription_item",
        customer,
        subscription=subscription["id"],
        price=price,
        quantity=1,
        current_period_start=now,
        current_period_end=month_after(now),
    )
    subscription["items"] = money.list_of([item], f"/v1/subscription_items?{subscription['id']}")
    world.tell("customer.subscription.created", subscription)
    invoice = bill(world, subscription, "subscription_create", [_whole(world, subscription)])
    pay(world, invoice)
    return subscription


def item_of(subscription: Object) -> Object:
    item: Object = subscription["items"]["data"][0]
    return item


def bill(world: World, subscription: Object, reason: str, lines: list[Object]) -> Object:
    customer = subscription["customer"]
    total = sum(line["amount"] for line in lines)
    account = world.objects["customer"][customer]
    # A customer's balance is what they owe: below zero it is credit, used up first.
    credit = min(max(0, total), max(0, -account["balance"]))
    account["balance"] += credit + min(0, total)
    invoice = invoice_for(world, customer, subscription["currency"], lines, reason)
    invoice.update(
        amount_due=max(0, total) - credit,
        amount_remaining=max(0, total) - credit,
        starting_balance=-credit,
        parent={
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {
                "subscription": subscription["id"],
                "metadata": subscription["metadata"],
            },
        },
    )
    subscription["latest_invoice"] = invoice["id"]
    world.tell("invoice.created", invoice)
    invoice["status"] = "open"
    world.tell("invoice.finalized", invoice)
    return invoice


def invoice_for(
    world: World, customer: str, currency: str, lines: list[Object], reason: str
) -> Object:
    total = sum(line["amount"] for line in lines)
    count = len(world.all("invoice", customer=customer)) + 1
    invoice = world.make(
        "invoice",
        customer=customer,
        currency=currency,
        billing_reason=reason,
        status="draft",
        number=f"{customer[-8:].upper()}-{count:04}",
        subtotal=total,
        total=total,
        amount_due=max(0, total),
        amount_paid=0,
        amount_remaining=max(0, total),
        amount_overpaid=0,
        amount_shipping=0,
        attempt_count=0,
        attempted=False,
        auto_advance=True,
        collection_method="charge_automatically",
        customer_email=world.objects["customer"][customer]["email"],
        status_transitions=dict.fromkeys(
            ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
        ),
        automatic_tax={"enabled": False, "status": None},
        metadata={},
    )
    for line in lines:
        line["invoice"] = invoice["id"]
    invoice["lines"] = money.list_of(lines, f"/v1/invoices/{invoice['id']}/lines")
    invoice["hosted_invoice_url"] = f"{world.private.get('base', '')}/i/{invoice['id']}"
    invoice["invoice_pdf"] = f"{invoice['hosted_invoice_url']}/pdf"
    return invoice


def settle(world: World, invoice: Object, intent: Object | None) -> None:
    """It is paid, by ``intent`` or because nothing was due."""
    now = world.now(invoice["customer"])
    due = invoice["amount_due"]
    invoice.update(
        status="paid",
        amount_paid=due,
        amount_remaining=0,
        attempted=True,
        next_payment_attempt=None,
    )
    invoice["status_transitions"]["paid_at"] = now
    if intent is not None:
        world.make(
            "invoice_payment",
            invoice["customer"],
            invoice=invoice["id"],
            amount_paid=due,
            amount_requested=due,
            currency=invoice["currency"],
            is_default=True,
            payment={"type": "payment_intent", "payment_intent": intent["id"]},
            status="paid",
            status_transitions={"canceled_at": None, "paid_at": now},
        )
    world.tell("invoice.paid", invoice)


def pay(world: World, invoice: Object) -> bool:
    """Try to collect it; whether that went well."""
    if invoice["status"] != "open":
        raise Problem("Invoice is not open, so it cannot be paid.", code="invoice_not_editable")
    customer = invoice["customer"]
    intent = None
    if invoice["amount_due"] > 0:
        invoice["attempt_count"] += 1
        intent = money.intend(world, customer, invoice["amount_due"], invoice["currency"])
        if money.card_of(world, customer) == "fails":
            money.decline(world, intent)
            _failed(world, invoice)
            return False
        money.collect(world, intent)
    settle(world, invoice, intent)
    subscription = _of(world, invoice)
    if subscription is not None and subscription["status"] in ("incomplete", "past_due"):
        before = deepcopy(subscription)
        subscription["status"] = "active"
        world.tell("customer.subscription.updated", subscription, before)
    return True


def _failed(world: World, invoice: Object) -> None:
    now, tried = world.now(invoice["customer"]), invoice["attempt_count"]
    first = world.private.setdefault(f"failed:{invoice['id']}", now)
    more = tried <= len(RETRIES)
    invoice["attempted"] = True
    invoice["next_payment_attempt"] = first + RETRIES[tried - 1] * DAY if more else None
    world.tell("invoice.payment_failed", invoice)
    subscription = _of(world, invoice)
    if subscription is None or subscription["status"] == "incomplete":
        return
    if not more:
        cancel(world, {}, subscription["id"])
    elif subscription["status"] != "past_due":
        before = deepcopy(subscription)
        subscription["status"] = "past_due"
        world.tell("customer.subscription.updated", subscription, before)


def _of(world: World, invoice: Object) -> Object | None:
    details = (invoice["parent"] or {}).get("subscription_details")
    return world.objects["subscription"][details["subscription"]] if details else None


def update(world: World, given: Object, subscription_id: str) -> Object:
    """Another price, another end. ``proration_behavior`` as documented."""
    subscription = world.get("subscription", subscription_id)
    if subscription["status"] not in RUNNING:
        raise Problem("A canceled subscription can only update its cancellation_details.")
    before = deepcopy(subscription)
    behavior = given.pop("proration_behavior", "create_prorations")
    lines: list[Object] = []
    for wanted in given.pop("items", []):
        item = world.get("subscription_item", wanted.get("id", ""), "items[0][id]", 400)
        price = world.get("price", wanted["price"], "items[0][price]", 400)
        if price["type"] != "recurring":
            raise Problem("The price specified is set to `type=one_time`.", param="items[0][price]")
        if behavior != "none":
            lines += _prorations(world, subscription, item, price)
        item_of(subscription)["price"] = item["price"] = price
    subscription.update(given)
    world.tell("customer.subscription.updated", subscription, before)
    if lines and behavior == "always_invoice":
        invoice = bill(world, subscription, "subscription_update", lines)
        pay(world, invoice)
    elif lines:
        world.private.setdefault(f"pending:{subscription_id}", []).extend(lines)
    return subscription


def _prorations(world: World, subscription: Object, item: Object, price: Object) -> list[Object]:
    """What is left of the period: the old price's part back, the new one's part charged."""
    start, end = item["current_period_start"], item["current_period_end"]
    left = (end - world.now(subscription["customer"])) / (end - start)
    old = item["price"]
    return [
        _line(world, subscription, old, -round(old["unit_amount"] * left), proration=True),
        _line(world, subscription, price, round(price["unit_amount"] * left), proration=True),
    ]


def _whole(world: World, subscription: Object) -> Object:
    price = item_of(subscription)["price"]
    return _line(world, subscription, price, price["unit_amount"], proration=False)


def _line(
    world: World, subscription: Object, price: Object, amount: int, *, proration: bool
) -> Object:
    item = item_of(subscription)
    return world.make(
        "line_item",
        subscription["customer"],
        amount=amount,
        subtotal=amount,
        currency=price["currency"],
        quantity=1,
        description=price.get("nickname") or price["id"],
        discountable=not proration,
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        pricing={
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        parent={
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "subscription": subscription["id"],
                "subscription_item": item["id"],
                "proration": proration,
            },
        },
    )


def cancel(world: World, given: Object, subscription_id: str) -> Object:
    subscription = world.get("subscription", subscription_id)
    if subscription["status"] == "canceled":
        raise Problem("This subscription is already canceled.", code="resource_missing", status=404)
    now = world.now(subscription["customer"])
    subscription.update(status="canceled", canceled_at=now, ended_at=now)
    world.tell("customer.subscription.deleted", subscription)
    return subscription


def next_due(world: World, subscription: Object) -> int | None:
    """When something happens to it by itself."""
    if subscription["status"] not in RUNNING:
        return None
    times: list[int] = [item_of(subscription)["current_period_end"]]
    invoice = world.objects["invoice"][subscription["latest_invoice"]]
    if invoice["status"] == "open" and invoice["next_payment_attempt"]:
        times.append(invoice["next_payment_attempt"])
    return min(times)


def come_due(world: World, subscription: Object) -> None:
    """What is due now happens: the payment is tried again, or the period ends."""
    invoice = world.objects["invoice"][subscription["latest_invoice"]]
    item = item_of(subscription)
    now = world.now(subscription["customer"])
    retry = invoice["next_payment_attempt"] if invoice["status"] == "open" else None
    if retry is not None and retry <= min(now, item["current_period_end"]):
        pay(world, invoice)
        return
    if subscription["cancel_at_period_end"]:
        cancel(world, {}, subscription["id"])
        return
    before = deepcopy(subscription)
    item["current_period_start"] = item["current_period_end"]
    item["current_period_end"] = month_after(item["current_period_end"])
    world.objects["subscription_item"][item["id"]] = item
    lines = world.private.pop(f"pending:{subscription['id']}", [])
    world.tell("customer.subscription.updated", subscription, before)
    renewal = bill(world, subscription, "subscription_cycle", [*lines, _whole(world, subscription)])
    pay(world, renewal)
