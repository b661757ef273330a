"""The ledger under everything at once: all movements, from many sessions, with crashes in between.

Hypothesis writes the plans: what each of two dozen sessions does, to whom, at which level of
isolation, and before which of its statements its connection is lost. Whoever crashed does the same
again, as a process that comes back would. Then the books have to be right.

``LEDGER_PLANS=100`` tries so many plans instead of three; each is about fifteen hundred operations.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.errors import ConnectionTimeout
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from billing.reconcile import reconcile
from billing.settlement import Settlement, settle
from db.accounts import users
from db.jobs import queries
from db.session import Isolation, Sessions, make_sessions, open_engine, transact
from db.tables import Job, Transaction
from tests.support.stores import empty

SESSIONS = 24
USERS = 3
ACTS_EACH = 40
PLANS = int(os.environ.get("LEDGER_PLANS", "3"))
# What has to have happened in each plan on average, or the plans try less than they say.
OFTEN = {"done": 600, "crashed": 120, "conflict": 25, "not enough": 12}
ISOLATIONS: tuple[Isolation, ...] = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
KINDS = (
    "grant", "purchase", "submit", "submit", "settle", "settle", "refund", "claw_back", "expire",
)  # fmt: skip


@dataclass(frozen=True)
class Act:
    """``number`` names a movement or a job.

    ``lost_before`` is the statement before which the connection is lost, 0 for never; the commit
    counts as one, and what comes after it is the answer.
    """

    kind: str
    user: int
    number: int
    amount: int
    lasts_s: int | None
    share: float
    isolation: Isolation
    lost_before: int
    twice: bool


@dataclass(frozen=True)
class Weather:
    """What a whole plan is like. ``crashes`` is the share of operations that crash, ``names`` how
    many movements and jobs there are to mean: the fewer, the more often the same one is meant."""

    seeds: list[int]
    names: int
    most: int
    crashes: float
    isolations: list[Isolation]

    def plan(self) -> list[list[Act]]:
        return [[self._act(random) for _ in range(ACTS_EACH)] for random in map(Random, self.seeds)]

    def _act(self, random: Random) -> Act:
        return Act(
            kind=random.choice(KINDS),
            user=random.randrange(USERS),
            number=random.randrange(self.names),
            amount=random.randint(0, self.most),
            lasts_s=random.choice([None, None, -60, 1, 3600]),
            share=random.choice([0.0, 0.3, 1.0]),
            isolation=random.choice(self.isolations),
            lost_before=random.randint(1, 16) if random.random() < self.crashes else 0,
            twice=random.random() < 0.5,
        )


def _early(random: Random) -> int:
    """A statement of an operation: most have few, a submit that expires lots has many."""
    return min(random.randint(1, 16), random.randint(1, 16))


WEATHER = st.builds(
    Weather,
    seeds=st.lists(st.integers(0, 2**32), min_size=SESSIONS, max_size=SESSIONS),
    names=st.sampled_from([30, 150, 400]),
    most=st.sampled_from([5, 60, 300]),
    crashes=st.sampled_from([0.5, 0.7, 0.9]),
    isolations=st.sampled_from([list(ISOLATIONS), *([one] for one in ISOLATIONS)]),
)

# How many statements this session may still send, if it is to crash.
left: ContextVar[list[int] | None] = ContextVar("left", default=None)


def _count(connection: Any) -> None:
    counter = left.get()
    if counter is None:
        return
    counter[0] -= 1
    if counter[0] == 0:
        connection.connection.driver_connection.pgconn.finish()  # as when a process is killed


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Sessions]:
    """Empty, with a connection for each session; connections can be lost."""
    engine = open_engine(url, connections=2 * SESSIONS)
    event.listen(
        engine.sync_engine, "before_cursor_execute", lambda connection, *_: _count(connection)
    )
    event.listen(engine.sync_engine, "commit", _count)
    try:
        async with engine.begin() as connection:
            await empty(connection)
        yield make_sessions(engine)
    finally:
        await engine.dispose()


async def do(session: AsyncSession, act: Act, people: list[str]) -> None:
    """One operation, as its caller in the service does it."""
    user = people[act.user]
    key = f"{act.kind}:{act.number}"
    if act.kind == "grant":
        expires = (
            None if act.lasts_s is None else datetime.now(UTC) + timedelta(seconds=act.lasts_s)
        )
        await ledger.grant(session, user, act.amount, key, "granted", expires)
    elif act.kind == "purchase":
        await ledger.purchase(session, user, act.amount, key, "bought")
    elif act.kind == "refund":
        await ledger.refund(session, user, act.amount, key, "given back")
    elif act.kind == "claw_back":
        await ledger.claw_back(session, user, act.amount, key, "taken back")
    elif act.kind == "expire":
        await ledger.expire(session, user, datetime.now(UTC))
    elif act.kind == "submit":
        await ledger.lock_user(session, user)
        if await session.get(Job, f"job_{act.number}") is None:
            session.add(
                Job(
                    id=f"job_{act.number}", user_id=user, generator="image", status="queued",
                    input={}, seed=1, credits_quoted=act.amount, credits_held=act.amount,
                    price_version="1", user_metadata={},
                )
            )  # fmt: skip
            await session.flush()
            await ledger.hold(session, user, act.amount, f"job_{act.number}", "image")
    else:
        job = await queries.get(session, f"job_{act.number}")
        if job is not None and job.finished_at is None:
            await settle(session, job, Settlement("canceled", act.share))


async def perform(sessions: Sessions, act: Act, people: list[str], told: Counter[str]) -> None:
    """Do it; if the connection is lost, do it again; and once more if the plan says so."""

    async def work(session: AsyncSession) -> None:
        await do(session, act, people)

    token = left.set([act.lost_before] if act.lost_before else None)
    for last in (False, True):
        try:
            await transact(sessions, work, act.isolation)
            told["done"] += 1
            if not act.twice:
                break
        except ledger.NotEnoughCredits:
            told["not enough"] += 1
            break
        except ledger.LedgerConflict:
            told["conflict"] += 1
            break
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if isinstance(error.orig, ConnectionTimeout):  # of a machine that has other work
                told["gave up"] += 1
            elif state == "23505":  # two submits of one job at once: the second one's insert
                told["there already"] += 1
            elif state is not None:
                # Still in conflict with others after a dozen tries; or, on a machine that has
                # other work, these stood before its turn for longer than a lock is waited for.
                assert state in ("40001", "40P01", "55P03"), error
                told["gave up"] += 1
            else:
                assert act.lost_before and not last, error
                told["crashed"] += 1
        left.set(None)
    left.reset(token)


async def run(url: str, plan: list[list[Act]], told: Counter[str]) -> None:
    async with database(url) as sessions:
        people = []
        async with sessions.begin() as session:
            for number in range(USERS):
                user = await users.add(session, f"u{number}@example.com", "x")
                assert user is not None
                people.append(user.id)
                await ledger.grant(session, user.id, 300, f"welcome:{number}", "welcome")

        async def one(acts: list[Act]) -> None:
            for act in acts:
                await perform(sessions, act, people, told)

        await asyncio.gather(*(one(acts) for acts in plan))
        await check(sessions, people)
        # And when all jobs have ended and all that expires has expired.
        async with sessions() as session:
            waiting = (await session.scalars(select(Job.id).where(Job.finished_at.is_(None)))).all()
        for job_id in waiting:
            number = int(job_id.removeprefix("job_"))
            act = replace(plan[0][0], kind="settle", number=number, lost_before=0, share=0.5)
            await perform(sessions, act, people, told)
        for person in people:
            async with sessions.begin() as session:
                await ledger.expire(session, person, datetime.now(UTC) + timedelta(days=1))
        await check(sessions, people)
        async with sessions() as session:
            held = await session.scalar(text("SELECT sum(held) FROM users"))
            left_in_lots = await session.scalar(text("SELECT sum(remaining) FROM credit_lots"))
        assert (held, left_in_lots or 0) == (0, 0)


async def check(sessions: Sessions, people: list[str]) -> None:
    """Reconcile knows the rules: sums of zero, columns that equal their entries, holds, lots."""
    async with sessions() as session:
        assert await reconcile(session) == []
        assert await session.scalar(text("SELECT coalesce(sum(amount), 0) FROM entries")) == 0
        low = "SELECT count(*) FROM users WHERE balance < 0 OR held < 0 OR debt < 0"
        assert await session.scalar(text(low)) == 0
        keys = select(func.count() - func.count(Transaction.natural_key.distinct()))
        assert await session.scalar(keys) == 0


@pytest.mark.timeout(900)
def test_whatever_happens_in_whatever_order_the_books_are_right(database_url: str) -> None:
    told: Counter[str] = Counter()

    @settings(
        max_examples=PLANS,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(weather=WEATHER)
    def example(weather: Weather) -> None:
        asyncio.run(run(database_url, weather.plan(), told))

    example()
    print(dict(told))
    for what, least in OFTEN.items():
        assert told[what] >= least * PLANS, told
