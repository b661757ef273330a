"""The balance, its movements, and the alert that is sent when credits run low."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from fastapi import Depends
from pydantic import Field
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import lots
from db.accounts import users
from db.tables import User
from serve_app.auth.identity import BillingDep
from serve_app.credits import statement
from serve_app.http.csv_response import CSVResponse, csv_response
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    CreatedAfterDep,
    CreatedBeforeDep,
    JobIdQueryDep,
    LimitDep,
    require_json,
)
from serve_app.http.errors import NotFound
from serve_app.http.pagination import Page, paginate
from serve_app.http.schemas import Body, View, Whole
from serve_app.resources import Clients
from serve_app.routing import make_router
from serve_app.webhooks.address import check_url
from serve_app.webhooks.schemas import WebhookUrl

router = make_router("/v1/credits", tags=["credits"])

Kind = Literal["grant", "purchase", "hold", "capture", "release", "refund", "claw_back", "expire"]


class ExpiringView(View):
    """Credits that are gone at ``expires_at``; jobs spend them before others."""

    credits: int
    expires_at: datetime


class CreditsView(View):
    """``balance`` can be spent; ``held`` is set aside for jobs that have not ended.

    ``debt`` is owed since money went back whose credits were spent; what comes next pays it.
    ``expiring`` is part of the balance.
    """

    balance: int
    held: int
    debt: int
    expiring: list[ExpiringView]


class TransactionView(View):
    """One movement of credits. ``balance_change`` is what it did to the balance."""

    id: str
    object: Literal["transaction"] = "transaction"
    kind: str
    amount: int
    balance_change: int
    job_id: str | None
    reason: str
    created_at: datetime


class AlertBody(Body):
    """Tell ``webhook_url`` when the balance falls below ``threshold``."""

    threshold: Whole = Field(ge=1, le=10**12)
    webhook_url: WebhookUrl


class AlertView(View):
    """Who is told when credits run low; both null: nobody."""

    threshold: int | None
    webhook_url: str | None


@router.get("")
async def balance(identity: BillingDep, clients: ClientsDep) -> CreditsView:
    """What you have."""
    async with clients.sessions() as session:
        user = await users.get(session, identity.user_id)
        if user is None:
            raise NotFound
        expiring = [
            ExpiringView(credits=lot.remaining, expires_at=lot.expires_at)
            for lot in await lots.open_lots(session, identity.user_id)
        ]
    return CreditsView(balance=user.balance, held=user.held, debt=user.debt, expiring=expiring)


@router.get("/transactions")
async def transactions(
    identity: BillingDep,
    clients: ClientsDep,
    limit: LimitDep = 20,
    after: AfterDep = None,
    kind: Kind | None = None,
    job_id: JobIdQueryDep = None,
    created_after: CreatedAfterDep = None,
    created_before: CreatedBeforeDep = None,
) -> Page[TransactionView]:
    """Every movement, newest first."""
    selection = statement.StatementFilter(
        user_id=identity.user_id,
        kind=kind,
        job_id=job_id,
        since=created_after,
        until=created_before,
    )

    async def read_lines(session: AsyncSession) -> Sequence[statement.StatementLine]:
        return await statement.get_lines(session, selection, after, limit + 1)

    page_rows, has_more, following = paginate(await clients.read_sessions(read_lines), limit)
    views = [TransactionView.model_validate(line, from_attributes=True) for line in page_rows]
    return Page(data=views, has_more=has_more, next=following)


@router.get("/transactions.csv", response_class=CSVResponse)
async def export(
    identity: BillingDep,
    clients: ClientsDep,
    created_after: CreatedAfterDep = None,
    created_before: CreatedBeforeDep = None,
) -> CSVResponse:
    """The same as a file, all of it, newest first."""
    selection = statement.StatementFilter(
        identity.user_id, since=created_after, until=created_before
    )
    return csv_response("credits.csv", statement.as_csv(clients.read_sessions, selection))


@router.get("/alert")
async def alert(identity: BillingDep, clients: ClientsDep) -> AlertView:
    """Who is told when credits run low."""
    async with clients.sessions() as session:
        user = await users.get(session, identity.user_id)
    if user is None:
        raise NotFound
    return AlertView(threshold=user.low_balance, webhook_url=user.low_balance_url)


@router.put("/alert", dependencies=[Depends(require_json)])
async def set_alert(body: AlertBody, identity: BillingDep, clients: ClientsDep) -> AlertView:
    """Have a signed `credits.low` sent there, once each time the balance falls below."""
    check_url(clients, body.webhook_url, "webhook_url")
    await _set_alert(clients, identity.user_id, body.threshold, body.webhook_url)
    return AlertView(threshold=body.threshold, webhook_url=body.webhook_url)


@router.delete("/alert", status_code=204)
async def remove_alert(identity: BillingDep, clients: ClientsDep) -> None:
    """Tell nobody any more."""
    await _set_alert(clients, identity.user_id, None, None)


async def _set_alert(
    clients: Clients, user_id: str, threshold: int | None, webhook_url: str | None
) -> None:
    async with clients.sessions.begin() as session:
        await session.execute(
            update(User)
            .where(User.id == user_id)
            .values(low_balance=threshold, low_balance_url=webhook_url)
        )
