"""What Stripe says is paid is booked once, in any order, and adds up. On a real Postgres."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from billing import ledger
from billing.stripe.payments import PaidItem, StripeReversal, StripeState, SubscriptionState, book
from db.accounts import users
from db.ids import new_id
from db.session import Sessions
from db.tables import Payment, Reversal, StripeCustomer, Transaction, User
from tests.support.ledger import entries_sum

NOW = datetime(2026, 11, 1, tzinfo=UTC)


async def customer(sessions: Sessions) -> tuple[str, str]:
    """A user with nothing, and their name at Stripe."""
    async with sessions.begin() as session:
        user = await users.add(session, f"{new_id('u')}@example.com".lower(), "x")
        assert user is not None
        customer_id = new_id("cus")
        await session.execute(
            insert(StripeCustomer).values(user_id=user.id, customer_id=customer_id)
        )
        return user.id, customer_id


def paid(tag: str, credits: int = 100, amount: int = 300) -> PaidItem:
    return PaidItem(f"cs_{tag}", f"pi_{tag}", "pack:small", credits, amount, "usd", NOW)


def back(
    name: str, tag: str, amount: int, *, kind: str = "refund", stands: bool = True
) -> StripeReversal:
    return StripeReversal(f"{name}_{tag}", kind, f"pi_{tag}", amount, stands, NOW)


async def booked(sessions: Sessions, facts: StripeState) -> bool:
    async with sessions.begin() as session:
        return await book(session, facts)


async def standing(sessions: Sessions, user_id: str) -> ledger.AccountBalance:
    """What the columns say, which the entries must say as well."""
    async with sessions() as session:
        columns = select(User.balance, User.held, User.debt).where(User.id == user_id)
        found = ledger.AccountBalance(*(await session.execute(columns)).one())
        assert found.balance == await entries_sum(session, ledger.available(user_id))
        assert found.debt == -await entries_sum(session, ledger.debt(user_id))
    return found


async def spend(sessions: Sessions, user_id: str, credits: int) -> None:
    """Away with them: to another purpose than jobs, for this file is not about those."""
    async with sessions.begin() as session:
        await ledger.claw_back(session, user_id, credits, new_id("spent"), "spent")


async def test_a_payment_is_booked_once_however_often_it_is_told(sessions: Sessions) -> None:
    user_id, customer_id = await customer(sessions)
    facts = StripeState(customer_id, (paid(user_id),))
    assert all(await asyncio.gather(*(booked(sessions, facts) for _ in range(8))))
    assert (await standing(sessions, user_id)).balance == 100


async def test_a_customer_of_somebody_else_changes_nothing(sessions: Sessions) -> None:
    tag = new_id("x")
    assert not await booked(sessions, StripeState(new_id("cus"), (paid(tag),)))
    async with sessions() as session:
        assert await session.get(Payment, f"cs_{tag}") is None


async def test_refunds_of_parts_come_to_all_of_the_credits(sessions: Sessions) -> None:
    user_id, customer_id = await customer(sessions)
    base = (paid(user_id, credits=100, amount=300),)
    taken = []
    for count in (1, 2, 3):
        parts = tuple(back(f"re{n}", user_id, 100) for n in range(count))
        await booked(sessions, StripeState(customer_id, base, parts))
        taken.append(100 - (await standing(sessions, user_id)).balance)
    assert taken == [33, 67, 100]


async def test_a_refund_told_before_its_payment_is_booked_with_it(sessions: Sessions) -> None:
    user_id, customer_id = await customer(sessions)
    facts = StripeState(customer_id, (paid(user_id),), (back("re", user_id, 300),))
    for _ in range(2):
        assert await booked(sessions, facts)
        assert await standing(sessions, user_id) == ledger.AccountBalance(0, 0, 0)
    assert await booked(sessions, StripeState(customer_id, (paid(user_id),)))
    assert (await standing(sessions, user_id)).balance == 0, "the payment, told late"


async def test_a_refund_of_spent_credits_is_owed_and_paid_by_the_next_purchase(
    sessions: Sessions,
) -> None:
    user_id, customer_id = await customer(sessions)
    base = (paid(user_id),)
    await booked(sessions, StripeState(customer_id, base))
    await spend(sessions, user_id, 70)
    lost = back("dp", user_id, 300, kind="dispute")
    await booked(sessions, StripeState(customer_id, base, (lost,)))
    assert await standing(sessions, user_id) == ledger.AccountBalance(0, 0, 70)
    async with sessions.begin() as session:
        with pytest.raises(ledger.NotEnoughCredits):
            await ledger.hold(session, user_id, 0, new_id("job"), "blocked")
    await booked(sessions, StripeState(customer_id, (paid(f"{user_id}b", credits=100),)))
    assert await standing(sessions, user_id) == ledger.AccountBalance(30, 0, 0)


async def test_a_dispute_that_was_won_gives_the_credits_back_once(sessions: Sessions) -> None:
    user_id, customer_id = await customer(sessions)
    base = (paid(user_id),)
    for stands, balance in ((True, 0), (False, 100), (False, 100), (True, 100)):
        opened = back("dp", user_id, 300, kind="dispute", stands=stands)
        await booked(sessions, StripeState(customer_id, base, (opened,)))
        assert (await standing(sessions, user_id)).balance == balance


async def test_money_that_goes_back_twice_takes_the_credits_once(sessions: Sessions) -> None:
    user_id, customer_id = await customer(sessions)
    both = (back("re", user_id, 200), back("dp", user_id, 300, kind="dispute"))
    await booked(sessions, StripeState(customer_id, (paid(user_id),), both))
    assert await standing(sessions, user_id) == ledger.AccountBalance(0, 0, 0)


async def test_a_refund_that_never_stood_takes_nothing(sessions: Sessions) -> None:
    user_id, customer_id = await customer(sessions)
    failed = back("re", user_id, 300, stands=False)
    await booked(sessions, StripeState(customer_id, (paid(user_id),), (failed,)))
    assert (await standing(sessions, user_id)).balance == 100


def subscribed(name: str, plan: str, status: str) -> SubscriptionState:
    return SubscriptionState(
        name, plan, status, NOW + timedelta(days=30), cancel_at_period_end=False
    )


async def plan_of(sessions: Sessions, user_id: str) -> str:
    async with sessions() as session:
        return (await session.execute(select(User.plan).where(User.id == user_id))).scalar_one()


async def test_the_plan_follows_the_best_subscription_that_is_paid_for(sessions: Sessions) -> None:
    user_id, customer_id = await customer(sessions)
    first, second = f"sub_a{user_id}", f"sub_b{user_id}"
    for name, plan, status, then in (
        (first, "starter", "incomplete", "free"),
        (first, "starter", "active", "starter"),
        (second, "pro", "active", "pro"),
        (second, "pro", "past_due", "pro"),
        (second, "pro", "canceled", "starter"),
        (first, "starter", "unpaid", "free"),
    ):
        await booked(
            sessions, StripeState(customer_id, subscription=subscribed(name, plan, status))
        )
        assert await plan_of(sessions, user_id) == then, (plan, status)


async def test_a_plan_set_by_an_administrator_stays_until_the_subscription_changes(
    sessions: Sessions,
) -> None:
    user_id, customer_id = await customer(sessions)
    facts = StripeState(customer_id, subscription=subscribed(f"sub_{user_id}", "starter", "active"))
    await booked(sessions, facts)
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == user_id).values(plan="unlimited"))
    await booked(sessions, facts)
    assert await plan_of(sessions, user_id) == "unlimited"


async def test_a_crash_before_any_statement_leaves_nothing_half_booked(sessions: Sessions) -> None:
    """The connection is lost before the n-th statement, for each n; then it is booked again."""
    for lost_at in itertools.count(1):
        user_id, customer_id = await customer(sessions)
        facts = StripeState(
            customer_id,
            (paid(user_id),),
            (back("re", user_id, 100), back("dp", user_id, 100, kind="dispute")),
            subscribed(f"sub_{user_id}", "pro", "active"),
        )
        survived = await _lost_before(sessions, facts, lost_at)
        if not survived:
            async with sessions() as session:
                count = select(func.count()).where(Transaction.user_id == user_id)
                assert await session.scalar(count) == 0
            assert await booked(sessions, facts)
        assert await standing(sessions, user_id) == ledger.AccountBalance(33, 0, 0)
        async with sessions() as session:
            rows = await session.scalars(
                select(Reversal.credits).join(Payment).where(Payment.user_id == user_id)
            )
            assert sorted(rows) == [33, 34]
        if survived:
            assert lost_at > 10
            return


async def _lost_before(sessions: Sessions, facts: StripeState, statement: int) -> bool:
    """Whether booking ended before that many statements were sent."""
    engine = sessions.kw["bind"].sync_engine
    sent = 0

    def lose(connection, cursor, sql, parameters, context, many) -> None:  # type: ignore[no-untyped-def]
        nonlocal sent
        sent += 1
        if sent == statement:
            connection.connection.driver_connection.pgconn.finish()  # as when the process is killed

    event.listen(engine, "before_cursor_execute", lose)
    try:
        await booked(sessions, facts)
    except DBAPIError:
        return False
    finally:
        event.remove(engine, "before_cursor_execute", lose)
    return sent < statement
