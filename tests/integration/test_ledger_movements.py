"""Which credits a job spends, what comes back of them, and what a debt does. On a real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from billing.reconcile import reconcile
from billing.settlement import Settlement, settle
from db.accounts import users
from db.ids import new_id
from db.jobs import queries
from db.session import ATTEMPTS, Sessions, transact
from db.tables import CreditLot, Job, User

SOON, LATER = timedelta(days=1), timedelta(days=9)


class Books:
    """One user's credits, moved and read."""

    def __init__(self, sessions: Sessions, user_id: str) -> None:
        self._sessions, self._user_id = sessions, user_id

    async def grant(self, amount: int, lasting: timedelta | None = None) -> None:
        until = None if lasting is None else datetime.now(UTC) + lasting
        async with self._sessions.begin() as session:
            await ledger.grant(session, self._user_id, amount, new_id("g"), "given", until)

    async def submit(self, credits: int) -> str:
        job_id = new_id("job")
        async with self._sessions.begin() as session:
            await ledger.lock_user(session, self._user_id)
            session.add(
                Job(
                    id=job_id, user_id=self._user_id, generator="image", status="queued", input={},
                    seed=1, credits_quoted=credits, credits_held=credits, price_version="1",
                    user_metadata={},
                )
            )  # fmt: skip
            await session.flush()
            await ledger.hold(session, self._user_id, credits, job_id, "image")
        return job_id

    async def end(self, job_id: str, share: float) -> None:
        async with self._sessions.begin() as session:
            job = await queries.get(session, job_id)
            assert job is not None
            assert await settle(session, job, Settlement("canceled", share)) is not None

    async def claw_back(self, amount: int) -> None:
        async with self._sessions.begin() as session:
            await ledger.claw_back(session, self._user_id, amount, new_id("c"), "disputed")

    async def expire(self, after: timedelta) -> int:
        async with self._sessions.begin() as session:
            return await ledger.expire(session, self._user_id, datetime.now(UTC) + after)

    async def balance(self) -> tuple[int, int, int]:
        """Balance, held and debt."""
        async with self._sessions() as session:
            assert await reconcile(session) == []
            user = await session.get_one(User, self._user_id)
            return user.balance, user.held, user.debt

    async def lots(self) -> list[int]:
        """What is left in each, the soonest to expire first."""
        async with self._sessions() as session:
            left = select(CreditLot.remaining).where(CreditLot.user_id == self._user_id)
            return list((await session.scalars(left.order_by(CreditLot.expires_at))).all())


@pytest.fixture
async def books(sessions: Sessions) -> Books:
    async with sessions.begin() as session:
        user = await users.add(session, f"{new_id('u')}@example.com".lower(), "x")
        assert user is not None
    return Books(sessions, user.id)


async def test_the_soonest_to_expire_are_spent_first_and_the_lasting_ones_last(
    books: Books,
) -> None:
    await books.grant(100)
    await books.grant(20, LATER)
    await books.grant(10, SOON)
    await books.submit(15)
    assert (await books.balance(), await books.lots()) == ((115, 15, 0), [0, 15])
    await books.submit(40)
    assert (await books.balance(), await books.lots()) == ((75, 55, 0), [0, 0])


async def test_what_a_job_gives_back_goes_where_it_came_from_the_lasting_ones_first(
    books: Books,
) -> None:
    await books.grant(100)
    await books.grant(20, LATER)
    await books.grant(10, SOON)
    job = await books.submit(40)
    await books.end(job, 0.5)  # 20 of 40: ten of each lot's, and none of the others
    assert (await books.balance(), await books.lots()) == ((110, 0, 0), [0, 10])
    job = await books.submit(30)
    await books.end(job, 0.0)
    assert (await books.balance(), await books.lots()) == ((110, 0, 0), [0, 10])


async def test_what_has_expired_meanwhile_comes_back_and_expires_at_once(
    books: Books, sessions: Sessions
) -> None:
    await books.grant(30)
    await books.grant(10, SOON)
    job = await books.submit(15)
    assert await books.expire(LATER) == 0  # the job has them
    await books.end(job, 0.0)
    assert (await books.balance(), await books.lots()) == ((40, 0, 0), [10])
    async with sessions.begin() as session:
        await session.execute(update(CreditLot).values(expires_at=datetime.now(UTC)))
    job = await books.submit(5)  # of lasting ones: the next submit sees that the others are over
    assert (await books.balance(), await books.lots()) == ((25, 5, 0), [0])
    assert await books.expire(LATER) == 0


async def test_who_owes_has_nothing_to_spend_and_pays_first_of_whatever_comes(
    books: Books,
) -> None:
    await books.grant(50)
    job = await books.submit(30)
    await books.claw_back(60)
    assert await books.balance() == (0, 30, 40)
    with pytest.raises(ledger.NotEnoughCredits):
        await books.submit(1)
    await books.end(job, 0.5)  # 15 come back, and go on to the debt
    assert await books.balance() == (0, 0, 25)
    await books.grant(30, SOON)
    assert (await books.balance(), await books.lots()) == ((5, 0, 0), [5])


async def test_credits_taken_away_are_lasting_ones_first(books: Books) -> None:
    await books.grant(10)
    await books.grant(20, SOON)
    await books.claw_back(15)
    assert (await books.balance(), await books.lots()) == ((15, 0, 0), [15])


async def test_a_transaction_is_tried_again_a_dozen_times_and_only_where_that_helps(
    sessions: Sessions,
) -> None:
    tries: list[str] = []

    async def always_in_conflict(session: AsyncSession) -> None:
        tries.append("conflict")
        await _raise(session, "40001")

    async def wrong(session: AsyncSession) -> None:
        tries.append("wrong")
        await _raise(session, "22012")

    for work in (always_in_conflict, wrong):
        with pytest.raises(DBAPIError):
            await transact(sessions, work)
    assert (tries.count("conflict"), tries.count("wrong")) == (ATTEMPTS, 1)


async def _raise(session: AsyncSession, state: str) -> None:
    connection = await session.connection()
    await connection.exec_driver_sql(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$")
