"""Jobs as a submit leaves them, and a look at what became of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Update, select, update

from billing import fair_share, job_policy, ledger, plans
from db.accounts import users
from db.ids import new_id
from db.jobs import fair_queue, queries, transitions
from db.jobs.queue_messages import enqueue_row
from db.outbox import rows as outbox
from db.session import Sessions
from db.tables import Job, Outbox, User
from deployments.contract import GeneratorSpec
from tests.support.ledger import entries_sum


async def new_user(sessions: Sessions, credits: int = 100) -> str:
    async with sessions.begin() as session:
        user = await users.add(session, f"{new_id('u')}@example.com".lower(), "x")
        assert user is not None
        await ledger.grant(session, user.id, credits, f"test:{user.id}", "test")
        return user.id


async def submit(
    sessions: Sessions,
    spec: GeneratorSpec[Any],
    user_id: str,
    priority: str = "normal",
    webhook_url: str | None = None,
    **given: Any,
) -> str:
    """A queued, paid-for job and its outbox row; nothing is pushed."""
    job_id = new_id("job")
    credits = spec.quote(spec.request.model_validate(given))
    job = Job(
        id=job_id,
        user_id=user_id,
        generator=spec.name,
        status="queued",
        priority=priority,
        input=given,
        seed=7,
        credits_quoted=credits,
        credits_held=credits,
        price_version=spec.price_version,
        webhook_url=webhook_url,
    )
    async with sessions.begin() as session:
        await ledger.lock_user(session, user_id)
        plan = (await plans.limits_of(session, user_id)).plan
        await fair_queue.tag(session, [job], [fair_share.cost(credits, plan, priority)])
        session.add(job)
        await session.flush()
        await ledger.hold(session, user_id, credits, job_id, spec.name)
        await outbox.write(session, *enqueue_row(job))
    return job_id


async def read(sessions: Sessions, job_id: str) -> Job:
    async with sessions() as session:
        job = await queries.get(session, job_id)
    assert job is not None
    return job


async def money(sessions: Sessions, user_id: str) -> tuple[int, int]:
    """Balance and held credits, checked against the entries of the ledger."""
    async with sessions() as session:
        user = (await session.scalars(select(User).where(User.id == user_id))).one()
        assert user.balance == await entries_sum(session, ledger.available(user_id))
        assert user.held == await entries_sum(session, ledger.held(user_id))
        return user.balance, user.held


async def silence(sessions: Sessions, job_id: str) -> None:
    """Let the lease of a running job run out, as when its replica was killed a while ago."""
    async with sessions.begin() as session:
        await session.execute(_silence(job_id))


def _silence(job_id: str) -> Update:
    past = datetime.now(UTC) - job_policy.LEASE - timedelta(seconds=1)
    return update(Job).where(Job.id == job_id).values(heartbeat_at=past)


async def lose(sessions: Sessions, job_id: str, attempt: int) -> None:
    """Give a running job back as the keeper does; no heartbeat comes in between."""
    async with sessions.begin() as session:
        await session.execute(_silence(job_id))
        lost = await transitions.requeue_lost(
            session, job_id, attempt, lease=job_policy.LEASE, max_losses=job_policy.MAX_LOSSES
        )
    assert lost is not None


async def claim(sessions: Sessions, job_id: str, attempt: int, replica: str | None = None) -> Job:
    async with sessions.begin() as session:
        job = await transitions.claim(session, job_id, attempt, replica)
    assert job is not None
    return job


async def undelivered(sessions: Sessions, topic: str) -> list[str]:
    async with sessions() as session:
        rows = await session.scalars(
            select(Outbox.natural_key)
            .where(Outbox.topic == topic, Outbox.done_at.is_(None))
            .order_by(Outbox.id)
        )
        return list(rows)


async def make_due(sessions: Sessions) -> None:
    """End the head start that senders have before the keeper delivers their rows."""
    async with sessions.begin() as session:
        await session.execute(
            update(Outbox).values(available_at=datetime.now(UTC) - timedelta(seconds=1))
        )
