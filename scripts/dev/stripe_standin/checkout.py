"""Checkout sessions, and the ways a customer can leave one."""

from __future__ import annotations

import secrets
from copy import deepcopy

from scripts.dev.stripe_standin import money, subscriptions
from scripts.dev.stripe_standin.catalog import create_customer
from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.world import Object, World

WAYS = ("works", "delayed", "declined")


def create(world: World, given: Object) -> Object:
    mode = given.get("mode")
    for name in ("mode", "line_items", "success_url"):
        if not given.get(name):
            raise Problem(f"Missing required param: {name}.", code="parameter_missing", param=name)
    for name, of in (
        ("payment_intent_data", "payment"),
        ("invoice_creation", "payment"),
        ("subscription_data", "subscription"),
    ):
        if name in given and mode != of:
            raise Problem(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    customer = given.get("customer")
    if customer is not None:
        world.get("customer", customer, "customer", 400)
    elif "customer_update" in given:
        raise Problem(
            "`customer_update` can only be used with `customer`.", param="customer_update"
        )
    lines = [_line(world, mode, number, line) for number, line in enumerate(given["line_items"])]
    total = sum(line["amount_total"] for line in lines)
    session = world.make(
        "checkout.session",
        mode=mode,
        customer=customer,
        status="open",
        payment_status="unpaid",
        currency=lines[0]["currency"],
        amount_subtotal=total,
        amount_total=total,
        success_url=given["success_url"],
        cancel_url=given.get("cancel_url"),
        client_reference_id=given.get("client_reference_id"),
        invoice_creation=given.get("invoice_creation"),
        automatic_tax={"enabled": False, "status": None, **given.get("automatic_tax", {})},
        metadata=given.get("metadata", {}),
        payment_method_types=["card"],
        expires_at=given.get("expires_at", world.now(customer) + 86_400),
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    )
    session["url"] = f"{world.private.get('base', '')}/c/pay/{session['id']}"
    world.private[f"lines:{session['id']}"] = lines
    world.private[f"given:{session['id']}"] = {
        name: given[name] for name in ("payment_intent_data", "subscription_data") if name in given
    }
    return session


def _line(world: World, mode: str | None, number: int, line: Object) -> Object:
    at = f"line_items[{number}]"
    if "price" not in line:
        raise Problem(
            f"Missing required param: {at}[price].", code="parameter_missing", param=f"{at}[price]"
        )
    price = world.get("price", line["price"], f"{at}[price]", 400)
    if not price["active"]:
        raise Problem("The price specified is inactive.", param=f"{at}[price]")
    if (price["type"] == "recurring") != (mode == "subscription"):
        raise Problem(f"You must provide prices that fit `{mode}` mode.", param=f"{at}[price]")
    quantity = line.get("quantity")
    if not quantity:
        raise Problem(
            f"Missing required param: {at}[quantity].",
            code="parameter_missing",
            param=f"{at}[quantity]",
        )
    amount = price["unit_amount"] * quantity
    return {
        "id": f"li_{secrets.token_hex(8)}",
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": world.objects["product"][price["product"]]["name"],
        "price": deepcopy(price),
        "quantity": quantity,
    }


def list_sessions(world: World, given: Object) -> list[Object]:
    names = ("customer", "payment_intent", "subscription", "status")
    return world.all("checkout.session", **{name: given.get(name) for name in names})


def lines_of(world: World, session_id: str) -> Object:
    lines = world.private[f"lines:{session_id}"]
    return money.list_of(lines, f"/v1/checkout/sessions/{session_id}/line_items")


def expire(world: World, given: Object, session_id: str) -> Object:
    session = _open(world, session_id)
    session.update(status="expired", url=None)
    world.tell("checkout.session.expired", session)
    return session


def _open(world: World, session_id: str) -> Object:
    session = world.get("checkout.session", session_id)
    if session["status"] != "open":
        raise Problem(f"This Checkout Session is {session['status']}.")
    return session


def pay(world: World, session_id: str, way: str) -> Object:
    """The customer pays with a card that ``works``, one that is ``declined``, or ``delayed``.

    Raises:
        Problem: the card was declined (402); the session stays open.
    """
    if way not in WAYS:
        raise Problem(f"A customer pays in one of these ways: {', '.join(WAYS)}.", param="way")
    session = _open(world, session_id)
    if session["customer"] is None:
        session["customer"] = create_customer(world, {"email": "customer@example.com"})["id"]
    if way == "declined":
        raise Problem(
            "Your card was declined.", code="card_declined", status=402, type="card_error"
        )
    customer = session["customer"]
    given = world.private[f"given:{session_id}"]
    session.update(
        status="complete",
        url=None,
        customer_details={"email": world.objects["customer"][customer]["email"], "name": "A B"},
    )
    if session["mode"] == "subscription":
        price = world.private[f"lines:{session_id}"][0]["price"]
        metadata = given.get("subscription_data", {}).get("metadata", {})
        made = subscriptions.subscribe(world, customer, price, metadata)
        session.update(
            subscription=made["id"], invoice=made["latest_invoice"], payment_status="paid"
        )
        world.tell("checkout.session.completed", session)
        return session
    metadata = given.get("payment_intent_data", {}).get("metadata", {})
    intent = money.intend(
        world, customer, session["amount_total"], session["currency"], metadata=metadata
    )
    session["payment_intent"] = intent["id"]
    if way == "delayed":
        intent["status"] = "processing"
    else:
        _paid(world, session, intent)
    world.tell("checkout.session.completed", session)
    return session


def settle_delayed(world: World, session_id: str, *, arrives: bool) -> Object:
    """Days later the money of a delayed payment arrives, or does not."""
    session = world.get("checkout.session", session_id)
    intent = world.get("payment_intent", session["payment_intent"] or "")
    if intent["status"] != "processing":
        raise Problem("Nothing is on its way for this session.")
    if arrives:
        _paid(world, session, intent)
        world.tell("checkout.session.async_payment_succeeded", session)
    else:
        money.decline(world, intent)
        world.tell("checkout.session.async_payment_failed", session)
    return session


def _paid(world: World, session: Object, intent: Object) -> None:
    money.collect(world, intent)
    session["payment_status"] = "paid"
    if (session["invoice_creation"] or {}).get("enabled"):
        lines = [
            world.make(
                "line_item",
                session["customer"],
                amount=line["amount_total"],
                subtotal=line["amount_total"],
                currency=line["currency"],
                quantity=line["quantity"],
                description=line["description"],
                pricing={
                    "type": "price_details",
                    "price_details": {
                        "price": line["price"]["id"],
                        "product": line["price"]["product"],
                    },
                    "unit_amount_decimal": line["price"]["unit_amount_decimal"],
                },
            )
            for line in world.private[f"lines:{session['id']}"]
        ]
        invoice = subscriptions.invoice_for(
            world, session["customer"], session["currency"], lines, "manual"
        )
        subscriptions.settle(world, invoice, intent)
        session["invoice"] = invoice["id"]
