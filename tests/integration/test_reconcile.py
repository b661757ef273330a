"""Reconcile finds planted damage of every kind, and says which row; without damage it is silent.

The damage is planted with the database's own safeguards switched off, in a transaction that is
rolled back.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from billing.reconcile import CHECKS, Difference, reconcile
from billing.settlement import Settlement, settle
from billing.stripe.payments import PaidItem, StripeReversal, StripeState, book
from db.accounts import users
from db.ids import new_id
from db.jobs import transitions
from db.session import Sessions
from db.tables import Job, StripeCustomer
from tests.support.admin_command import Admin

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Busy:
    """A database in which everything that can happen to money has happened."""

    user: str
    other: str
    done: str  # a job that was charged
    queued: str
    lot: str


async def job(session: AsyncSession, user_id: str, credits: int, tag: str) -> Job:
    made = Job(
        id=new_id("job"), user_id=user_id, generator="image", status="queued", input={}, seed=1,
        credits_quoted=credits, credits_held=credits, price_version="1", user_metadata={"tag": tag},
    )  # fmt: skip
    session.add(made)
    await session.flush()
    await ledger.hold(session, user_id, credits, made.id, tag)
    return made


@pytest.fixture
async def busy(sessions: Sessions) -> Busy:
    async with sessions.begin() as session:
        people = []
        for name in ("ada", "bob"):
            user = await users.add(session, f"{name}@example.com", "x")
            assert user is not None
            people.append(user.id)
        ada, bob = people
        soon = datetime.now(UTC) + timedelta(days=1)
        await ledger.grant(session, ada, 40, "lot", "a present", expires_at=soon)
        lot = await session.scalar(text("SELECT id FROM credit_lots"))
        await session.execute(insert(StripeCustomer).values(user_id=ada, customer_id="cus_ada"))
        paid = PaidItem("cs_1", "pi_1", "pack:small", 100, 300, "usd", NOW)
        gone = (
            StripeReversal("re_1", "refund", "pi_1", 30, True, NOW),
            StripeReversal("dp_1", "dispute", "pi_1", 30, True, NOW),
        )
        await book(session, StripeState("cus_ada", (paid,), gone))
        won = StripeReversal("dp_1", "dispute", "pi_1", 30, False, NOW)
        await book(session, StripeState("cus_ada", (paid,), (won,)))
        await ledger.grant(session, bob, 5, "bob", "welcome")
        await ledger.claw_back(session, bob, 8, "bob:gone", "gone")
        done = await job(session, ada, 30, "done")
        queued = await job(session, ada, 20, "queued")
    async with sessions.begin() as session:
        claimed = await transitions.claim(session, done.id, 1)
        assert claimed is not None
        await settle(session, claimed, Settlement("succeeded", 0.5))
    return Busy(ada, bob, done.id, queued.id, str(lot))


@asynccontextmanager
async def damaged(sessions: Sessions, *statements: str) -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        # Neither triggers nor foreign keys; checks of single rows are dropped with the rest.
        await session.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("users", "jobs", "credit_lots", "lot_uses", "transactions", "payments"):
            for name in await session.scalars(
                text(
                    "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = "
                    f"'{table}'::regclass"
                )
            ):
                await session.execute(text(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'))
        for statement in statements:
            await session.execute(text(statement.replace(":", r"\:")))
        yield session
        await session.rollback()


async def test_a_database_where_everything_has_happened_has_no_difference(
    sessions: Sessions, busy: Busy
) -> None:
    async with sessions() as session:
        assert await reconcile(session) == []


# By check (after a comma, which of its cases): what is broken, and the row that has to be named.
DAMAGE = {
    "transaction_unbalanced": (
        "UPDATE entries SET amount = amount + 1 WHERE id = (SELECT e.id FROM entries e JOIN"
        " transactions t ON t.id = e.transaction_id WHERE natural_key = 'bob' ORDER BY 1 LIMIT 1)",
        "SELECT id FROM transactions WHERE natural_key = 'bob'",
    ),
    "transaction_without_entries": (
        "DELETE FROM entries WHERE transaction_id ="
        " (SELECT id FROM transactions WHERE natural_key = 'bob:gone')",
        "SELECT id FROM transactions WHERE natural_key = 'bob:gone'",
    ),
    "account_unknown": (
        "UPDATE entries SET account = 'house:pockets' WHERE account = 'house:revenue'",
        "SELECT transaction_id FROM entries WHERE account = 'house:pockets'",
    ),
    "entries_of_another_user": (
        "UPDATE entries SET account = 'user:{other}:held' WHERE account = 'user:{user}:held'"
        " AND transaction_id = (SELECT id FROM transactions WHERE job_id = '{queued}')",
        "SELECT id FROM transactions WHERE job_id = '{queued}'",
    ),
    "balance_differs": (
        "UPDATE users SET balance = balance + 1 WHERE id = '{user}'",
        "{user}",
    ),
    "held_differs": ("UPDATE users SET held = held + 1 WHERE id = '{other}'", "{other}"),
    "debt_differs": ("UPDATE users SET debt = 0 WHERE id = '{other}'", "{other}"),
    "job_without_hold": (
        "UPDATE transactions SET job_id = NULL WHERE natural_key = 'hold:{queued}'",
        "{queued}",
    ),
    "hold_not_settled": (
        "UPDATE jobs SET status = 'failed', finished_at = now(), credits_held = 0"
        " WHERE id = '{queued}'",
        "{queued}",
    ),
    "charged_differs": (
        "UPDATE jobs SET credits_charged = credits_charged - 1 WHERE id = '{done}'",
        "{done}",
    ),
    "charged_twice": (
        "INSERT INTO transactions (id, user_id, kind, amount, natural_key, job_id, reason)"
        " VALUES ('txn_again', '{user}', 'capture', 1, 'again', '{done}', 'again')",
        "{done}",
    ),
    "settled_before_its_end": (
        "UPDATE jobs SET status = 'running', finished_at = NULL WHERE id = '{done}'",
        "{done}",
    ),
    "job_holds_differ": (
        "UPDATE jobs SET credits_held = 3 WHERE id = '{queued}'",
        "{user}",
    ),
    "lot_differs": ("UPDATE lot_uses SET taken = taken + 1 WHERE job_id = '{done}'", "{lot}"),
    "lots_beyond_balance": (
        "UPDATE credit_lots SET granted = 900, remaining = 900 WHERE id = '{lot}'",
        "{user}",
    ),
    "lot_overdue": (
        "UPDATE credit_lots SET remaining = 1, expires_at = now() - interval '2 hours'",
        "{lot}",
    ),
    "key_spending_differs": (
        "INSERT INTO key_spending VALUES ('key_gone', '2026-11-01', 7)",
        "key_gone 2026-11-01",
    ),
    "storage_use_differs": ("INSERT INTO storage_use VALUES ('{user}', 7)", "{user}"),
    "payment_without_credits": ("UPDATE payments SET credits = 101", "cs_1"),
    "credits_without_payment": (
        "DELETE FROM payments",
        "SELECT id FROM transactions WHERE natural_key = 'stripe:cs_1'",
    ),
    "credits_without_payment, those that went": (
        "DELETE FROM reversals WHERE id = 're_1'",
        "SELECT id FROM transactions WHERE natural_key = 'stripe:re_1'",
    ),
    "reversal_differs": ("UPDATE reversals SET undone_at = NULL WHERE id = 'dp_1'", "dp_1"),
}


def test_each_check_has_damage_to_find() -> None:
    assert {kind.partition(",")[0] for kind in DAMAGE} == {check.name for check in CHECKS}


@pytest.mark.parametrize("kind", DAMAGE)
async def test_planted_damage_is_found_and_its_row_named(
    sessions: Sessions, busy: Busy, kind: str
) -> None:
    check = kind.partition(",")[0]
    damage, row = (part.format(**vars(busy)) for part in DAMAGE[kind])
    async with damaged(sessions, damage) as session:
        if row.startswith("SELECT"):
            row = str(await session.scalar(text(row)))
        found = await reconcile(session)
        assert (check, row) in {(one.check, one.row) for one in found}, found
    async with sessions() as session:
        assert await reconcile(session) == [], "the damage outlived its test"


async def test_of_much_damage_a_hundred_rows_are_named_and_the_rest_counted(
    sessions: Sessions, busy: Busy
) -> None:
    many = (
        "INSERT INTO users (id, email, password_hash, balance)"
        " SELECT 'usr_' || n, n || '@example.com', 'x', 7 FROM generate_series(1, 130) n"
    )
    async with damaged(sessions, many) as session:
        found = [one for one in await reconcile(session) if one.check == "balance_differs"]
    assert len(found) == 101
    assert found[-1] == Difference("balance_differs", "...", "and 30 more")


async def test_the_command_says_what_differs_and_that_it_does(
    sessions: Sessions, busy: Busy, atelier_admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await atelier_admin.done("reconcile")
    assert said == f"0 differences ({len(CHECKS)} checks)"
    async with sessions.begin() as session:
        await session.execute(text(f"UPDATE users SET held = 1 WHERE id = '{busy.other}'"))
    broken = await atelier_admin("reconcile")
    assert broken.status == 1
    line = f"held_differs {busy.other} held is 1, its entries come to 0"
    assert line in " ".join(broken.out.split())
    found = (await atelier_admin("reconcile", "--json")).json
    assert found["data"][0]["row"] == busy.other
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:a-secret@127.0.0.1:9/none")
    away = await atelier_admin("reconcile")
    assert (away.status, away.out) == (4, "") and "a-secret" not in away.err
