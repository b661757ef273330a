"""Up and down between plans, at the portal: credits follow the money, both ways."""

from billing import ledger
from scripts.dev.stripe_standin import DAY
from tests.support.http import Person
from tests.support.payments import Shop


async def changed(open_shop: Shop, person: Person) -> tuple[int, int]:
    """The next plan of the two; balance and debt after it."""
    await open_shop.at_the_portal(person, "change=.*")
    await open_shop.booked()
    assert await open_shop.differences() == []
    await open_shop.world.assert_adds_up(person.id)
    credits = (await person.get("/v1/credits")).json()
    return credits["balance"], credits["debt"]


async def test_there_and_back_again_brings_nothing(open_shop: Shop) -> None:
    """Stripe books what is left of the larger plan as credit, which then pays for the same plan."""
    ada = await open_shop.world.guest()
    await open_shop.buy(ada, plan="starter")
    await open_shop.booked()
    starter, _ = await open_shop.world.assert_adds_up(ada.id)
    pro, _ = await changed(open_shop, ada)
    assert pro > starter
    for _ in range(3):
        balance, debt = await changed(open_shop, ada)
        assert abs(balance - starter) <= 3, "down"
        balance, debt = await changed(open_shop, ada)
        assert abs(balance - pro) <= 3, "up"
    assert debt == 0
    kinds = await open_shop.world.movements(ada.id)
    assert kinds == {"purchase": 5, "refund": 3}


async def test_a_smaller_plan_takes_what_is_left_of_the_larger_even_if_it_is_spent(
    open_shop: Shop,
) -> None:
    ada = await open_shop.world.guest()
    await open_shop.buy(ada, plan="pro")
    await open_shop.booked()
    balance, _ = await open_shop.world.assert_adds_up(ada.id)
    async with open_shop.world.sessions.begin() as session:
        await ledger.claw_back(session, ada.id, balance, "spent", "spent")
    balance, debt = await changed(open_shop, ada)
    # All but a moment of the month was left: its credits less those of the smaller plan.
    assert balance == 0
    assert 4490 <= debt <= 4500
    # The next month is paid out of what Stripe owes, and brings its credits: they pay the debt.
    await open_shop.act("advance", seconds=31 * DAY)
    await open_shop.booked()
    assert await open_shop.differences() == []
    credits = (await ada.get("/v1/credits")).json()
    assert (credits["balance"], credits["debt"]) == (0, debt - 1500)


async def test_what_was_paid_partly_out_of_credit_goes_back_by_its_part(open_shop: Shop) -> None:
    """A refund of the last cent of a payment takes no more than the cent brought."""
    ada = await open_shop.world.guest()
    await open_shop.buy(ada, plan="pro")
    await open_shop.booked()
    await changed(open_shop, ada)  # Stripe owes about 28 of 40
    for _ in range(3):  # 12 and 12 out of it, and of the third all but about 4
        await open_shop.act("advance", seconds=31 * DAY)
        await open_shop.booked()
    before, _ = await open_shop.world.assert_adds_up(ada.id)
    charge = open_shop.sdk.v1.charges.list().data[0]
    assert 700 < charge.amount < 900
    open_shop.sdk.v1.refunds.create({"charge": charge.id})
    await open_shop.booked()
    after, _ = await open_shop.world.assert_adds_up(ada.id)
    assert before - after == round(1500 * charge.amount / 1200)
    assert await open_shop.differences() == []
