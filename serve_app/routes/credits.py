"""The balance and the ledger behind it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db import users
from db.tables import Transaction
from serve_app.auth.identity import BillingDep
from serve_app.bodies import View
from serve_app.deps import AfterDep, ClientsDep, LimitDep
from serve_app.errors import NotFound
from serve_app.pages import Page, cut

router = APIRouter(prefix="/v1/credits", tags=["credits"])


class CreditsView(View):
    """``balance`` can be spent; ``held`` is set aside for jobs that have not ended."""

    balance: int
    held: int


class TransactionView(View):
    """One movement of credits."""

    id: str
    object: Literal["transaction"] = "transaction"
    kind: str
    amount: int
    job_id: str | None
    reason: str
    created_at: datetime


@router.get("")
async def balance(identity: BillingDep, clients: ClientsDep) -> CreditsView:
    """What you have."""
    async with clients.sessions() as session:
        user = await users.get(session, identity.user_id)
    if user is None:
        raise NotFound
    return CreditsView(balance=user.balance, held=user.held)


@router.get("/transactions")
async def transactions(
    identity: BillingDep, clients: ClientsDep, limit: LimitDep = 20, after: AfterDep = None
) -> Page[TransactionView]:
    """Every movement, newest first: grant, hold, capture, release."""
    query = select(Transaction).where(Transaction.user_id == identity.user_id)
    if after is not None:
        query = query.where(Transaction.id < after)
    newest = query.order_by(Transaction.id.desc()).limit(limit + 1)

    async def look(session: AsyncSession) -> Sequence[Transaction]:
        return (await session.scalars(newest)).all()

    rows = await clients.reading(look)
    kept, has_more, following = cut(rows, limit)
    views = [TransactionView.model_validate(row, from_attributes=True) for row in kept]
    return Page(data=views, has_more=has_more, next=following)
