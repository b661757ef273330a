"""Credits and job state change together, once, and always add up. On a real Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from billing import job_policy, ledger
from billing.settlement import Settlement, settle
from db.accounts import users
from db.ids import new_id
from db.jobs import queries, transitions
from db.session import Sessions
from db.tables import Entry, Job, Outbox, Transaction, User
from tests.support.ledger import entries_sum


async def new_user(sessions: Sessions, credits: int) -> str:
    async with sessions.begin() as session:
        user = await users.add(session, f"{new_id('u')}@example.com".lower(), "x")
        assert user is not None
        await ledger.grant(session, user.id, credits, f"test:{user.id}", "test")
        return user.id


async def submit(sessions: Sessions, user_id: str, credits: int) -> str:
    job_id = new_id("job")
    async with sessions.begin() as session:
        await ledger.lock_user(session, user_id)
        await session.execute(
            insert(Job).values(
                id=job_id, user_id=user_id, generator="image", status="queued", input={}, seed=1,
                credits_quoted=credits, credits_held=credits, price_version="1",
            )
        )  # fmt: skip
        await ledger.hold(session, user_id, credits, job_id, "image")
    return job_id


async def assert_adds_up(sessions: Sessions, user_id: str) -> tuple[int, int]:
    """The columns equal the entries, and everything ever booked sums to zero."""
    async with sessions() as session:
        user = (await session.execute(select(User).where(User.id == user_id))).scalar_one()
        assert user.balance == await entries_sum(session, ledger.available(user_id))
        assert user.held == await entries_sum(session, ledger.held(user_id))
        assert (
            await session.scalar(select(text("coalesce(sum(amount), 0)")).select_from(Entry)) == 0
        )
        return user.balance, user.held


async def test_two_hundred_submits_on_credits_for_fifty_accept_exactly_fifty(
    sessions: Sessions,
) -> None:
    user_id = await new_user(sessions, 100)

    async def one() -> bool:
        try:
            await submit(sessions, user_id, 2)
        except ledger.NotEnoughCredits:
            return False
        return True

    async def several(n: int) -> list[bool]:
        return [await one() for _ in range(n)]

    accepted = sum(map(sum, await asyncio.gather(*(several(20) for _ in range(10)))))
    assert accepted == 50
    assert await assert_adds_up(sessions, user_id) == (0, 100)
    async with sessions() as session:
        rows = (await session.scalars(select(Job).where(Job.user_id == user_id))).all()
    assert len(rows) == 50


@pytest.mark.parametrize(
    ("status", "share", "charged"),
    [("succeeded", 1.0, 7), ("failed", 0.0, 0), ("canceled", 0.5, 4), ("succeeded", 2.0, 7)],
)
async def test_an_ending_charges_its_share_once_and_holds_nothing(
    sessions: Sessions, status: str, share: float, charged: int
) -> None:
    user_id = await new_user(sessions, 10)
    job_id = await submit(sessions, user_id, 7)
    async with sessions.begin() as session:
        claimed = await transitions.claim(session, job_id, 1)
    assert claimed is not None

    async def end() -> bool:
        async with sessions.begin() as session:
            return await settle(session, claimed, Settlement(status, share)) is not None

    assert sum(await asyncio.gather(*(end() for _ in range(8)))) == 1
    assert await assert_adds_up(sessions, user_id) == (10 - charged, 0)
    async with sessions() as session:
        job = await queries.get(session, job_id)
        told = (await session.scalars(select(Outbox).where(Outbox.topic == "notify"))).all()
    assert job is not None
    assert (job.status, job.credits_charged, job.credits_held) == (status, charged, 0)
    assert [row.natural_key for row in told] == [f"{job_id}:{status}"]


async def test_an_attempt_that_lost_the_job_can_neither_settle_nor_beat(sessions: Sessions) -> None:
    user_id = await new_user(sessions, 10)
    job_id = await submit(sessions, user_id, 7)
    async with sessions.begin() as session:
        zombie = await transitions.claim(session, job_id, 1)
    assert zombie is not None
    async with sessions.begin() as session:
        assert (
            await transitions.requeue_lost(
                session, job_id, 1, lease=job_policy.LEASE, max_losses=job_policy.MAX_LOSSES
            )
            is None
        ), "its lease has not run out"
        await session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(heartbeat_at=datetime.now(UTC) - job_policy.LEASE - timedelta(seconds=1))
        )
        assert (
            await transitions.requeue_lost(
                session, job_id, 1, lease=job_policy.LEASE, max_losses=job_policy.MAX_LOSSES
            )
            is not None
        )
    async with sessions.begin() as session:
        assert await transitions.claim(session, job_id, 1) is None, "a stale message"
        assert await transitions.claim(session, job_id, 2) is not None
    async with sessions.begin() as session:
        assert await settle(session, zombie, Settlement("succeeded", 1.0)) is None
        assert await transitions.heartbeat(session, job_id, 1, 0.5, "x") is None
        assert await transitions.heartbeat(session, job_id, 2, 0.5, "x") is False
    assert await assert_adds_up(sessions, user_id) == (3, 7)


async def test_a_movement_is_booked_once_per_natural_key(sessions: Sessions) -> None:
    user_id = await new_user(sessions, 5)
    async with sessions.begin() as session:
        assert not await ledger.grant(session, user_id, 5, f"test:{user_id}", "again")
    assert await assert_adds_up(sessions, user_id) == (5, 0)


async def test_the_database_refuses_entries_that_do_not_sum_to_zero(sessions: Sessions) -> None:
    user_id = await new_user(sessions, 5)
    with pytest.raises(DBAPIError):
        async with sessions.begin() as session:
            transaction = new_id("txn")
            await session.execute(
                insert(Transaction).values(
                    id=transaction, user_id=user_id, kind="grant", amount=5,
                    natural_key=transaction, reason="unbalanced",
                )
            )  # fmt: skip
            await session.execute(
                insert(Entry).values(transaction_id=transaction, account="house:grants", amount=5)
            )
    assert await assert_adds_up(sessions, user_id) == (5, 0)


async def test_the_database_refuses_to_rewrite_history(sessions: Sessions) -> None:
    await new_user(sessions, 5)
    for statement in ("UPDATE entries SET amount = 1", "DELETE FROM transactions"):
        with pytest.raises(DBAPIError):
            async with sessions.begin() as session:
                await session.execute(text(statement))


async def test_the_database_refuses_a_final_job_that_still_holds_credits(
    sessions: Sessions,
) -> None:
    user_id = await new_user(sessions, 5)
    job_id = await submit(sessions, user_id, 5)
    with pytest.raises(IntegrityError):
        async with sessions.begin() as session:
            await session.execute(
                update(Job)
                .where(Job.id == job_id)
                .values(status="failed", finished_at=datetime.now(UTC))
            )
