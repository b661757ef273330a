"""What a customer, a bank or somebody at Stripe's dashboard does: JSON calls under ``/standin``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scripts.dev.stripe_standin import checkout, clock, money
from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.world import Object, World

ORDERS = ("in_order", "reversed", "twice")


def routes(world: World) -> list[Route]:
    acts: dict[str, Callable[[Object], Any]] = {
        "pay": lambda given: checkout.pay(world, given["session"], given.get("way", "works")),
        "settle": lambda given: checkout.settle_delayed(
            world, given["session"], arrives=given["arrives"]
        ),
        "card": lambda given: _card(world, given["customer"], given["state"]),
        "dispute": lambda given: money.open_dispute(
            world, given["charge"], given.get("amount"), inquiry=given.get("inquiry", False)
        ),
        "close_dispute": lambda given: money.close_dispute(
            world, given["dispute"], won=given["won"]
        ),
        "fail_refund": lambda given: money.fail_refund(world, given["refund"]),
        "advance": lambda given: {"now": clock.advance_all(world, given["seconds"])},
        "hold": lambda given: _hold(world, given["held"]),
        "deliveries": lambda given: {"data": world.deliveries},
    }

    async def act(request: Request) -> Response:
        name = request.path_params["act"]
        given = await request.json()
        try:
            if name == "deliver":
                return JSONResponse({"delivered": await _deliver(world, given["order"])})
            if name not in acts:
                raise Problem(f"There is no {name}.", status=404)
            return JSONResponse(acts[name](given))
        except Problem as problem:
            return JSONResponse({"error": problem.error}, problem.status)
        finally:
            world.save()

    return [Route("/{act}", act, methods=["POST"])]


def _card(world: World, customer: str, state: str) -> Object:
    if state not in money.CARDS:
        raise Problem(f"A card {' or '.join(money.CARDS)}.", param="state")
    world.private[f"card:{customer}"] = state
    return {"customer": customer, "card": state}


def _hold(world: World, held: bool) -> Object:
    """Keep webhooks back, until they are let go or delivered by hand."""
    world.held = held
    return {"held": held}


async def _deliver(world: World, order: str) -> list[str]:
    """Deliver what waits, now, in an order that nobody should rely on."""
    from scripts.dev.stripe_standin.app import deliver

    if order not in ORDERS:
        raise Problem(f"One of {', '.join(ORDERS)}.", param="order")
    waiting = list(world.deliveries)
    if order == "reversed":
        waiting.reverse()
    if order == "twice":
        waiting += waiting
    delivered = []
    async with httpx.AsyncClient(timeout=10) as http:
        for one in waiting:
            if await deliver(world, http, one):
                delivered.append(one["event"])
    return delivered
