"""The pages that people see: checkout, portal, invoice. Plain, and plainly no real ones."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from scripts.dev.stripe_standin import checkout, subscriptions
from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.world import Object, World

HEAD = """<!doctype html><meta charset="utf-8"><title>Stand-in for Stripe</title>
<style>body{font:16px/1.5 sans-serif;max-width:34em;margin:3em auto;padding:0 1em}
h1{background:#fd6;padding:.5em;font-size:1.2em}button{font:inherit;margin:.2em 0;padding:.4em 1em}
form{display:inline-block;margin-right:.5em}</style>
<h1>Stand-in for Stripe: no money moves</h1>"""


def routes(world: World) -> list[Route]:
    async def pay_page(request: Request) -> Response:
        session = world.objects["checkout.session"].get(request.path_params["id"])
        if session is None or session["status"] != "open":
            return _page("<p>This checkout is over, or never was.", 404)
        return _page(_checkout(world, session))

    async def paid(request: Request) -> Response:
        form = (await request.body()).decode()
        way = form.removeprefix("way=")
        session = world.objects["checkout.session"].get(request.path_params["id"])
        if session is None:
            return _page("<p>There is no such checkout.", 404)
        if way == "cancel":
            return RedirectResponse(session["cancel_url"] or session["success_url"], 303)
        try:
            checkout.pay(world, session["id"], way)
        except Problem as problem:
            return _page(f"<p>{escape(str(problem))}" + _checkout(world, session), problem.status)
        finally:
            world.save()
        there = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
        return RedirectResponse(there, 303)

    async def portal(request: Request) -> Response:
        session = world.objects["billing_portal.session"].get(request.path_params["id"])
        if session is None:
            return _page("<p>There is no such session.", 404)
        if request.method == "POST":
            form = (await request.body()).decode()
            try:
                _change(world, session["customer"], *form.partition("=")[::2])
            except Problem as problem:
                return _page(f"<p>{escape(str(problem))}", problem.status)
            finally:
                world.save()
        return _page(_portal(world, session))

    async def invoice(request: Request) -> Response:
        found = world.objects["invoice"].get(request.path_params["id"])
        if found is None:
            return _page("<p>There is no such invoice.", 404)
        lines = "".join(
            f"<li>{escape(line['description'] or '')}: {_money(line['amount'], found)}"
            for line in found["lines"]["data"]
        )
        return _page(
            f"<h2>Invoice {escape(found['number'])}</h2><ul>{lines}</ul>"
            f"<p>Total {_money(found['total'], found)}, {escape(found['status'])}"
        )

    return [
        Route("/c/pay/{id}", pay_page),
        Route("/c/pay/{id}", paid, methods=["POST"]),
        Route("/p/session/{id}", portal, methods=["GET", "POST"]),
        Route("/i/{id}", invoice),
        Route("/i/{id}/pdf", invoice),
    ]


def _page(body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(HEAD + body, status)


def _money(amount: int, of: Object) -> str:
    return f"{amount / 100:.2f} {escape(of['currency'].upper())}"


def _button(name: str, value: str, label: str) -> str:
    return (
        f'<form method="post"><button name="{name}" value="{escape(value)}">{escape(label)}'
        "</button></form>"
    )


def _checkout(world: World, session: Object) -> str:
    lines = "".join(
        f"<li>{line['quantity']} x {escape(line['description'])}: "
        f"{_money(line['amount_total'], line)}"
        for line in world.private[f"lines:{session['id']}"]
    )
    buttons = [
        _button("way", "works", "Pay"),
        _button("way", "declined", "Pay with a card that is declined"),
        _button("way", "cancel", "Cancel"),
    ]
    if session["mode"] == "payment":
        buttons.insert(1, _button("way", "delayed", "Pay by a method that takes days"))
    total = _money(session["amount_total"], session)
    return f"<ul>{lines}</ul><p>Total {total}</p>{''.join(buttons)}"


def _portal(world: World, session: Object) -> str:
    customer = session["customer"]
    parts = []
    for subscription in world.all("subscription", customer=customer):
        price = subscriptions.item_of(subscription)["price"]
        name = world.objects["product"][price["product"]]["name"]
        parts.append(f"<h2>{escape(name)}: {escape(subscription['status'])}</h2>")
        if subscription["status"] not in subscriptions.RUNNING:
            continue
        if subscription["cancel_at_period_end"]:
            parts.append("<p>It ends with its period.")
            parts.append(_button("resume", subscription["id"], "Keep it"))
        else:
            parts.append(_button("cancel", subscription["id"], "Cancel at the period's end"))
        for other in world.all("price", type="recurring", active=True):
            if other["id"] != price["id"] and other["lookup_key"]:
                title = world.objects["product"][other["product"]]["name"]
                label = f"Change to {title}, {_money(other['unit_amount'], other)}"
                parts.append(_button("change", f"{subscription['id']}:{other['id']}", label))
    for invoice in world.all("invoice", customer=customer)[::-1]:
        parts.append(
            f'<p><a href="/i/{invoice["id"]}">Invoice {escape(invoice["number"])}</a>, '
            f"{_money(invoice['total'], invoice)}, {escape(invoice['status'])}"
        )
    back = escape(session["return_url"] or "/")
    return "".join(parts) + f'<p><a href="{back}">Back</a>'


def _change(world: World, customer: str, what: str, value: str) -> None:
    subscription_id, _, price = value.replace("%3A", ":").partition(":")
    subscription = world.get("subscription", subscription_id)
    if subscription["customer"] != customer:
        raise Problem("That is another customer's.", status=404)
    if what == "change":
        item = subscriptions.item_of(subscription)["id"]
        given: Object = {
            "items": [{"id": item, "price": price}],
            "proration_behavior": "always_invoice",
        }
    else:
        given = {"cancel_at_period_end": what == "cancel"}
    subscriptions.update(world, given, subscription_id)
