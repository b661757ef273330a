"""Roles that are changed at the same moment: an administrator is left, and no key gains powers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from db.accounts import users
from db.tables import ApiKey, User
from serve_app.auth import api_keys
from tests.support.http import Person, World, problem
from tests.support.waiting import until_locks_are_waited_for

Order = Callable[[Person, Person], Coroutine[Any, Any, httpx.Response]]


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@asynccontextmanager
async def held(api: World, *people: Person) -> AsyncIterator[None]:
    """Nobody else gets the rows of these accounts; whoever asks for one has been let in."""
    async with api.sessions.begin() as session:
        await users.lock_roles(session, [one.id for one in people], exclusive=True)
        yield


async def demote(who: Person, whom: Person) -> httpx.Response:
    return await who.put(f"/v1/admin/users/{whom.id}/role", json={"role": "user"})


async def disable(who: Person, whom: Person) -> httpx.Response:
    return await who.post(f"/v1/admin/users/{whom.id}/disable")


async def administrators(api: World) -> int:
    query = select(func.count()).select_from(User).where(User.role == "admin", users.IS_OPEN)
    async with api.sessions() as session:
        return int(await session.scalar(query) or 0)


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        pytest.param(demote, demote, {403}, id="each demotes the other"),
        pytest.param(disable, disable, {401}, id="each disables the other"),
        pytest.param(demote, disable, {401, 403}, id="one demotes, the other disables"),
    ],
)
async def test_of_the_last_two_administrators_one_is_left(
    api: World, one: Order, other: Order, refused: set[int]
) -> None:
    ada, bob = await api.guest("admin"), await api.guest("admin")
    async with held(api, ada, bob):
        orders = [asyncio.create_task(one(ada, bob)), asyncio.create_task(other(bob, ada))]
        await until_locks_are_waited_for(api.sessions, 2)
    statuses = Counter([answer.status_code for answer in await asyncio.gather(*orders)])
    assert statuses.pop(200) == 1 and statuses.total() == 1 and set(statuses) <= refused
    assert await administrators(api) == 1


async def test_of_three_in_a_circle_one_is_left(api: World) -> None:
    people = [await api.guest("admin") for _ in range(3)]
    async with held(api, *people):
        orders = [
            asyncio.create_task(demote(who, people[place - 1])) for place, who in enumerate(people)
        ]
        await until_locks_are_waited_for(api.sessions, 3)
    statuses = {answer.status_code for answer in await asyncio.gather(*orders)}
    assert statuses == {200, 403}
    assert await administrators(api) >= 1


async def test_support_that_was_demoted_meanwhile_disables_nobody(api: World, ada: Person) -> None:
    support = await api.guest("support")
    async with api.sessions.begin() as session:
        await users.set_role(session, support.id, "user")
        order = asyncio.create_task(disable(support, ada))
        await until_locks_are_waited_for(api.sessions, 1)
    said = problem(await order, 403, "permission_missing")
    assert said["permission"] == "accounts.disable"
    assert (await ada.get("/v1/me")).status_code == 200


@pytest.mark.parametrize("makes", ["admin", "jobs:read"])
async def test_a_key_that_is_made_during_a_promotion_does_not_get_past_it(
    api: World, makes: str
) -> None:
    support = await api.guest("support")
    async with api.sessions.begin() as session:
        assert await users.set_role(session, support.id, "admin") == "support"
        assert await api_keys.revoke_admin_keys(session, support.id) == 0
        body = {"name": "desk", "scopes": [makes]}
        making = asyncio.create_task(support.post("/v1/api-keys", json=body))
        await until_locks_are_waited_for(api.sessions, 1)
    problem(await making, 403, "scope_missing")
    assert await api.count(ApiKey, support.id) == 0
    assert (await support.post("/v1/api-keys", json=body)).status_code == 201


async def test_a_key_that_is_made_before_a_promotion_is_revoked_by_it(
    api: World, root: Person
) -> None:
    support = await api.guest("support")
    async with api.sessions.begin() as session:
        await users.lock_roles(session, [support.id])
        await api_keys.create_api_key(session, support.id, "desk", ["admin"])
        order = {"role": "admin"}
        promoting = asyncio.create_task(root.put(f"/v1/admin/users/{support.id}/role", json=order))
        await until_locks_are_waited_for(api.sessions, 1)
    assert (await promoting).status_code == 200
    async with api.sessions() as session:
        assert (await session.scalars(select(ApiKey.revoked_at))).one() is not None


async def test_no_key_is_made_for_an_account_that_is_disabled_meanwhile(
    api: World, ada: Person
) -> None:
    async with api.sessions.begin() as session:
        assert await users.disable(session, ada.id, ["user"])
        making = asyncio.create_task(ada.post("/v1/api-keys", json={"name": "late"}))
        await until_locks_are_waited_for(api.sessions, 1)
    problem(await making, 401, "invalid_token")
    assert await api.count(ApiKey, ada.id) == 0
