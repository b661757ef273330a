"""What is kept of identities, for how long, and when it is used at all."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.auth import identity_cache
from serve_app.auth.identity import Identity
from serve_app.auth.identity_cache import MAX_SILENCE_S, IdentityCache, LookUp
from serve_app.http.errors import InvalidToken
from tests.support.clock import Clock

LIFETIME_S = 30.0


class Accounts:
    """What is looked up, and how often; each user has one key, which has their name."""

    def __init__(self, cache: IdentityCache) -> None:
        self.cache = cache
        self.asked: list[str] = []
        self.plan = "free"
        self.valid_s = 1000.0
        self.let = asyncio.Event()
        self.let.set()

    async def plan_of(self, user_id: str) -> str:
        return (await self.cache.get(("key", user_id), lambda: self._look_up(user_id))).plan

    async def _look_up(self, user_id: str) -> LookUp:
        self.asked.append(user_id)
        plan = self.plan
        await self.let.wait()
        if plan == "none":
            raise InvalidToken
        return LookUp(Identity(user_id, "user", plan, frozenset()), self.valid_s)

    async def is_kept(self, user_id: str) -> bool:
        before = len(self.asked)
        await self.plan_of(user_id)
        return len(self.asked) == before


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(clock: Clock) -> Accounts:
    cache = IdentityCache(LIFETIME_S, clock)
    cache.heard_all_before(clock.now)
    return Accounts(cache)


def advance(accounts: Accounts, clock: Clock, seconds: float) -> None:
    """Time passes, and all changes are heard."""
    clock.now += seconds
    accounts.cache.heard_all_before(clock.now)


async def test_it_is_asked_once_for_each_until_the_entry_is_over(
    accounts: Accounts, clock: Clock
) -> None:
    for user_id in ("ada", "ada", "eve", "ada"):
        await accounts.plan_of(user_id)
    assert accounts.asked == ["ada", "eve"]
    advance(accounts, clock, LIFETIME_S - 0.1)
    assert await accounts.is_kept("ada")
    advance(accounts, clock, 0.1)
    assert not await accounts.is_kept("ada")


async def test_it_ends_with_what_was_found(accounts: Accounts, clock: Clock) -> None:
    accounts.valid_s = 5.0
    await accounts.plan_of("ada")
    advance(accounts, clock, 4.9)
    assert await accounts.is_kept("ada")
    advance(accounts, clock, 0.1)
    assert not await accounts.is_kept("ada")


async def test_the_time_of_the_look_up_counts(accounts: Accounts, clock: Clock) -> None:
    accounts.valid_s = 5.0
    accounts.let.clear()
    asking = asyncio.create_task(accounts.plan_of("ada"))
    await asyncio.sleep(0)
    advance(accounts, clock, 5.0)
    accounts.let.set()
    await asking
    assert not await accounts.is_kept("ada")


async def test_a_change_ends_what_is_kept_of_that_user_alone(accounts: Accounts) -> None:
    for user_id in ("ada", "eve"):
        await accounts.plan_of(user_id)
    accounts.plan = "pro"
    accounts.cache.forget("ada")
    assert [await accounts.plan_of(user_id) for user_id in ("ada", "eve")] == ["pro", "free"]
    accounts.cache.clear()
    assert await accounts.plan_of("eve") == "pro"
    accounts.cache.forget("nobody")


async def test_all_that_a_user_has_is_forgotten(accounts: Accounts) -> None:
    async def look_up() -> LookUp:
        accounts.asked.append("login")
        return LookUp(Identity("ada", "user", "free", frozenset()))

    for _ in range(2):
        await accounts.plan_of("ada")
        await accounts.cache.get(("login", "fam", "ada"), look_up)
    assert accounts.asked == ["ada", "login"]
    accounts.cache.forget("ada")
    await accounts.cache.get(("login", "fam", "ada"), look_up)
    assert accounts.asked == ["ada", "login", "login"]
    assert not await accounts.is_kept("ada")


@pytest.mark.parametrize("change", ["forget", "clear", "stop"])
async def test_what_was_asked_before_a_change_is_not_kept(
    accounts: Accounts, clock: Clock, change: str
) -> None:
    accounts.let.clear()
    asking = asyncio.create_task(accounts.plan_of("ada"))
    await asyncio.sleep(0)
    accounts.plan = "pro"
    if change == "forget":
        accounts.cache.forget("ada")
    elif change == "clear":
        accounts.cache.clear()
    else:
        accounts.cache.stop()
        accounts.cache.heard_all_before(clock.now)  # of the next connection
    accounts.let.set()
    assert await asking == "free"
    assert await accounts.plan_of("ada") == "pro"


async def test_what_is_refused_is_asked_for_each_time(accounts: Accounts) -> None:
    accounts.plan = "none"
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await accounts.plan_of("ada")
    accounts.plan = "free"
    assert await accounts.plan_of("ada") == "free"
    assert len(accounts.asked) == 3


async def test_nothing_is_used_while_changes_may_be_missed(
    accounts: Accounts, clock: Clock
) -> None:
    await accounts.plan_of("ada")
    clock.now += MAX_SILENCE_S - 0.1
    assert await accounts.is_kept("ada")
    clock.now += 0.1
    assert not accounts.cache.is_used
    assert not await accounts.is_kept("ada")
    # Nothing was lost: the connection was only slow.
    accounts.cache.heard_all_before(clock.now)
    assert await accounts.is_kept("ada")
    accounts.cache.stop()
    assert not await accounts.is_kept("ada")


async def test_a_late_word_does_not_make_it_older(accounts: Accounts, clock: Clock) -> None:
    accounts.cache.heard_all_before(clock.now - 100)
    assert accounts.cache.is_used


async def test_the_one_that_was_used_longest_ago_makes_room(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_cache, "MOST", 3)
    for user_id in ("ada", "bob", "eve", "ada", "kay"):
        await accounts.plan_of(user_id)
    assert [await accounts.is_kept(one) for one in ("ada", "eve", "kay")] == [True] * 3
    assert not await accounts.is_kept("bob")
    for number in range(100):
        await accounts.plan_of(f"user {number}")
        accounts.cache.forget(f"user {number - 1}")
    assert len(accounts.cache._entries) <= 3 and len(accounts.cache._of_user) <= 3
