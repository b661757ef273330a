"""Buying credits. Pages for people are Stripe's; here are the ways to them."""

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from billing import plans
from billing.offers import Price
from billing.stripe.client import StripeRejected
from db.tables import Subscription
from serve_app.auth.identity import BillingDep
from serve_app.billing import customer
from serve_app.billing.checkout import checkout
from serve_app.billing.schemas import (
    CheckoutBody,
    CheckoutView,
    OfferView,
    PacksView,
    PlanView,
    PortalBody,
    PortalView,
    ReceiptView,
    ReceivedView,
    SubscriptionView,
)
from serve_app.billing.stripe_webhook import receive
from serve_app.http.dependencies import ClientsDep, IdempotencyKeyDep, LimitDep, require_json
from serve_app.http.errors import (
    AlreadySubscribed,
    BillingDisabled,
    InvalidSignature,
    NotFound,
    RequestTimeout,
    TooLarge,
)
from serve_app.http.pagination import Page
from serve_app.http.problems import problem_responses
from serve_app.routing import body_kind, make_router, rate_class

router = make_router("/v1/billing", tags=["billing"])

THANKS_PAGE = """<!doctype html><meta charset="utf-8"><title>Thank you</title>
<p>Thank you. Your credits are there as soon as the payment has arrived, usually within seconds.
You can close this page."""


@router.get("/packs", responses=problem_responses(BillingDisabled))
async def packs(identity: BillingDep, clients: ClientsDep) -> PacksView:
    """What can be bought: packs of credits, and plans."""
    prices = await customer.require_gateway(clients).checkout.prices()
    return PacksView(
        packs=[OfferView(**_offer(price)) for price in prices if price.kind == "pack"],
        plans=[_plan(price) for price in prices if price.kind == "plan"],
    )


@router.post(
    "/checkout",
    status_code=201,
    dependencies=[Depends(require_json)],
    responses=problem_responses(BillingDisabled, AlreadySubscribed),
)
async def open_checkout(
    body: CheckoutBody,
    identity: BillingDep,
    clients: ClientsDep,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKeyDep = None,
) -> CheckoutView:
    """Open a page of Stripe's where a pack or a plan is paid."""
    back_to = str(request.url_for("thanks"))
    view, replayed = await checkout(clients, identity.user_id, body, idempotency_key, back_to)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return view


@router.post(
    "/portal",
    dependencies=[Depends(require_json)],
    responses=problem_responses(BillingDisabled, NotFound),
)
async def open_portal(
    body: PortalBody, identity: BillingDep, clients: ClientsDep, request: Request
) -> PortalView:
    """Open a page of Stripe's where a customer changes plan, card or address, or cancels."""
    gateway = customer.require_gateway(clients)
    customer_id = await customer.get_customer_id(clients, identity.user_id)
    if customer_id is None:
        raise NotFound("You have bought nothing yet.")
    try:
        return_url = body.return_url or str(request.url_for("thanks"))
        return PortalView(url=await gateway.checkout.create_portal_session(customer_id, return_url))
    except StripeRejected as error:
        raise customer.as_unavailable(error) from error


@router.get("/subscription", responses=problem_responses(NotFound))
async def subscription(identity: BillingDep, clients: ClientsDep) -> SubscriptionView:
    """Your newest subscription."""
    async with clients.sessions() as session:
        row = await session.scalar(
            select(Subscription)
            .where(Subscription.user_id == identity.user_id)
            .order_by(Subscription.created_at.desc())
            .limit(1)
        )
    if row is None:
        raise NotFound("You have no subscription.")
    return SubscriptionView.model_validate(row, from_attributes=True)


@router.get("/receipts", responses=problem_responses(BillingDisabled, NotFound))
async def receipts(
    identity: BillingDep,
    clients: ClientsDep,
    limit: LimitDep = 20,
    after: Annotated[str | None, Query(pattern=r"^in_[0-9A-Za-z_]{1,200}$")] = None,
) -> Page[ReceiptView]:
    """Your invoices, newest first, with Stripe's pages and files of them."""
    gateway = customer.require_gateway(clients)
    customer_id = await customer.get_customer_id(clients, identity.user_id)
    if customer_id is None:
        return Page(data=[], has_more=False, next=None)
    try:
        invoices, has_more = await gateway.checkout.receipts(customer_id, limit, after)
    except StripeRejected as error:
        raise NotFound from error
    views = [ReceiptView.model_validate(invoice, from_attributes=True) for invoice in invoices]
    return Page(data=views, has_more=has_more, next=invoices[-1].id if has_more else None)


@router.get("/thanks", include_in_schema=False, response_class=HTMLResponse)
@rate_class(None)
async def thanks() -> str:
    """Where a customer lands whom the client sent nowhere else."""
    return THANKS_PAGE


@router.post(
    "/stripe/webhook",
    responses=problem_responses(InvalidSignature, BillingDisabled, RequestTimeout, TooLarge),
)
@body_kind("private")  # its signature is over the whole body
@rate_class(None)
async def stripe_webhook(
    request: Request,
    clients: ClientsDep,
    stripe_signature: Annotated[str | None, Header()] = None,
) -> ReceivedView:
    """For Stripe: an event, signed over the body as it is."""
    customer.require_gateway(clients)
    if not stripe_signature:  # before a stranger's body is read
        raise InvalidSignature
    await receive(clients, await request.body(), stripe_signature)
    return ReceivedView()


def _offer(price: Price) -> dict[str, Any]:
    return {
        "name": price.name,
        "title": price.title,
        "credits": price.credits,
        "amount": price.amount,
        "currency": price.currency,
    }


def _plan(price: Price) -> PlanView:
    plan = plans.PLANS.get(price.name, plans.DEFAULT)
    return PlanView(
        **_offer(price),
        interval=price.interval,
        max_waiting_jobs=plan.max_waiting_jobs,
        max_running_jobs=plan.max_running_jobs,
    )
