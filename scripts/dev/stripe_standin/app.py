"""The HTTP side: keys, versions, idempotency, and Stripe's way of answering."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from scripts.dev.stripe_standin import control, lists, pages, params
from scripts.dev.stripe_standin.errors import Problem
from scripts.dev.stripe_standin.routes import ROUTES
from scripts.dev.stripe_standin.world import API_VERSION, Object, World

DAY_S = 86_400
# How long after a failed delivery the next one comes; Stripe takes hours.
AGAIN_S = 2.0


def create_app(world: World) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sending = asyncio.create_task(_deliver_always(world))
        try:
            yield
        finally:
            sending.cancel()

    async def api(request: Request) -> Response:
        return await _answered(world, request)

    return Starlette(
        lifespan=lifespan,
        routes=[
            Mount("/standin", routes=control.routes(world)),
            *pages.routes(world),
            Route("/{path:path}", api, methods=["GET", "POST", "DELETE"]),
        ],
    )


async def _answered(world: World, request: Request) -> Response:
    headers = {"Request-Id": f"req_{secrets.token_hex(7)}", "Stripe-Version": API_VERSION}
    try:
        _check_headers(request)
        sent = (await request.body()).decode() if request.method == "POST" else request.url.query
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is None:
            return JSONResponse(_call(world, request, sent), headers=headers)
        status, body, replayed = _once(world, request, sent, key)
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        return JSONResponse(body, status, headers)
    except Problem as problem:
        return JSONResponse({"error": problem.error}, problem.status, headers)
    finally:
        world.save()


def _check_headers(request: Request) -> None:
    given = request.headers.get("authorization", "")
    key = given.removeprefix("Bearer ").strip()
    if not key.startswith("sk_test_"):
        message = "Invalid API Key provided" if key else "You did not provide an API key."
        raise Problem(message, status=401)
    version = request.headers.get("stripe-version", API_VERSION)
    if version != API_VERSION:
        raise Problem(f"Invalid Stripe API version: {version}")


def _once(world: World, request: Request, sent: str, key: str) -> tuple[int, Object, bool]:
    """The first answer to a key again, refusals included; but not those of the parameters, after
    which nothing had begun."""
    asked = hashlib.sha256(f"{request.url.path}\n{sent}".encode()).hexdigest()
    kept = world.answers.get(key)
    if kept is not None and kept["at"] > time.time() - DAY_S:
        if kept["asked"] != asked:
            raise Problem(
                "Keys for idempotent requests can only be used with the same parameters they were "
                "first used with.",
                type="idempotency_error",
            )
        return kept["status"], kept["body"], True
    status, body = 200, {}
    try:
        body = _call(world, request, sent)
    except Problem as problem:
        if problem.status != 402:
            raise
        status, body = problem.status, {"error": problem.error}
    world.answers[key] = {"at": time.time(), "asked": asked, "status": status, "body": body}
    return status, body, False


def _call(world: World, request: Request, sent: str) -> Object:
    path = request.url.path
    for route in ROUTES:
        ids = route.match(request.method, path)
        if ids is None:
            continue
        given = params.check(params.parse(sent), route.params)
        expand = given.pop("expand", [])
        if route.listed is not None:
            answer = lists.page(route.listed(world, given), given, path)
        else:
            assert route.answer is not None
            answer = route.answer(world, given, *ids)
        return lists.expanded(world, answer, expand)
    raise Problem(f"Unrecognized request URL ({request.method}: {path}).", status=404)


async def _deliver_always(world: World) -> None:
    async with httpx.AsyncClient(timeout=10) as http:
        while True:
            if not world.held:
                for delivery in [one for one in world.deliveries if one["due"] <= time.time()]:
                    await deliver(world, http, delivery)
            await asyncio.sleep(0.05)


async def deliver(world: World, http: httpx.AsyncClient, delivery: Object) -> bool:
    """Send it once; one that failed stays and is sent again."""
    endpoint = world.objects["webhook_endpoint"].get(delivery["endpoint"])
    if endpoint is None:
        _forget(world, delivery)
        return False
    payload = json.dumps(world.objects["event"][delivery["event"]])
    secret = world.private[f"secret:{endpoint['id']}"]
    delivery["attempts"] += 1
    delivery["due"] = time.time() + AGAIN_S
    try:
        headers = {
            "Stripe-Signature": signature(payload, secret),
            "Content-Type": "application/json",
        }
        answer = await http.post(endpoint["url"], content=payload, headers=headers)
        arrived = answer.is_success
    except httpx.HTTPError:
        arrived = False
    if arrived:
        _forget(world, delivery)
    return arrived


def _forget(world: World, delivery: Object) -> None:
    if delivery in world.deliveries:
        world.deliveries.remove(delivery)
    world.save()


def signature(payload: str, secret: str, at: int | None = None) -> str:
    """``Stripe-Signature`` of a body."""
    at = int(time.time()) if at is None else at
    signed = hmac.new(secret.encode(), f"{at}.{payload}".encode(), hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"
