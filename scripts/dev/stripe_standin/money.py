"""Money that moves: payments, refunds, disputes."""

from __future__ import annotations

from typing import Any

from scripts.dev.stripe_standin.errors import Problem, missing
from scripts.dev.stripe_standin.world import Object, World

CARDS = ("works", "fails")


def list_of(data: list[Object], url: str) -> Object:
    return {"object": "list", "data": data, "has_more": False, "url": url}


def card_of(world: World, customer: str | None) -> str:
    """Whether the customer's card works; a new one does."""
    return str(world.private.get(f"card:{customer}", "works"))


def intend(world: World, customer: str | None, amount: int, currency: str, **fields: Any) -> Object:
    intent = world.make(
        "payment_intent",
        customer=customer,
        amount=amount,
        amount_received=0,
        currency=currency,
        status="requires_payment_method",
        payment_method_types=["card"],
        **fields,
    )
    world.tell("payment_intent.created", intent)
    return intent


def collect(world: World, intent: Object) -> Object:
    """The payment arrives; returns its charge."""
    charge = world.make(
        "charge",
        customer=intent["customer"],
        payment_intent=intent["id"],
        amount=intent["amount"],
        amount_captured=intent["amount"],
        amount_refunded=0,
        currency=intent["currency"],
        status="succeeded",
        paid=True,
        captured=True,
        refunded=False,
        disputed=False,
        billing_details={"email": None, "name": "A Customer", "phone": None, "address": None},
        payment_method_details={"type": "card", "card": {"brand": "visa", "last4": "4242"}},
        receipt_url="https://pay.stripe.com/receipts/standin",
    )
    intent.update(status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"])
    world.tell("charge.succeeded", charge)
    world.tell("payment_intent.succeeded", intent)
    return charge


def decline(world: World, intent: Object) -> None:
    intent.update(
        status="requires_payment_method",
        last_payment_error={"type": "card_error", "code": "card_declined"},
    )
    world.tell("payment_intent.payment_failed", intent)


def charge_of(world: World, payment_intent: str) -> Object:
    """Raises Problem: it was not paid."""
    found = world.all("charge", payment_intent=payment_intent)
    if not found:
        raise Problem("This PaymentIntent does not have a successful charge to refund.")
    return found[-1]


def create_refund(world: World, given: Object) -> Object:
    if ("charge" in given) == ("payment_intent" in given):
        raise Problem("One of the following params should be provided: payment_intent or charge.")
    if "charge" in given:
        charge = world.get("charge", given["charge"], "charge", 404)
    else:
        intent = world.get("payment_intent", given["payment_intent"], "payment_intent", 404)
        charge = charge_of(world, intent["id"])
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise Problem(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = given.get("amount", left)
    if not 0 < amount <= left:
        raise Problem(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    refund = world.make(
        "refund",
        charge["customer"],
        amount=amount,
        charge=charge["id"],
        payment_intent=charge["payment_intent"],
        currency=charge["currency"],
        reason=given.get("reason"),
        status="succeeded",
        metadata=given.get("metadata", {}),
    )
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    world.tell("refund.created", refund)
    world.tell("charge.refunded", charge)
    return refund


def fail_refund(world: World, refund_id: str) -> Object:
    """The bank did not take it: the money is back with us."""
    refund = world.get("refund", refund_id)
    refund["status"] = "failed"
    charge = world.get("charge", refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    world.tell("refund.failed", refund)
    return refund


def open_dispute(world: World, charge_id: str, amount: int | None, *, inquiry: bool) -> Object:
    charge = world.get("charge", charge_id)
    charge["disputed"] = True
    dispute = world.make(
        "dispute",
        charge["customer"],
        amount=charge["amount"] if amount is None else amount,
        charge=charge["id"],
        payment_intent=charge["payment_intent"],
        currency=charge["currency"],
        reason="fraudulent",
        status="warning_needs_response" if inquiry else "needs_response",
        is_charge_refundable=False,
        evidence={},
    )
    world.tell("charge.dispute.created", dispute)
    if not inquiry:
        world.tell("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(world: World, dispute_id: str, *, won: bool) -> Object:
    dispute = world.get("dispute", dispute_id)
    if dispute["status"] in ("won", "lost", "warning_closed"):
        raise Problem("This dispute is already closed.")
    inquiry = dispute["status"].startswith("warning_")
    dispute["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    if won and not inquiry:
        world.tell("charge.dispute.funds_reinstated", dispute)
    world.tell("charge.dispute.closed", dispute)
    return dispute


def list_by_payment(world: World, kind: str, given: Object) -> list[Object]:
    names = ("charge", "payment_intent", "customer")
    for name in names:
        if name in given and given[name] not in world.objects[name]:
            raise missing(name, given[name], name, 400)
    return world.all(kind, **{name: given.get(name) for name in names})
