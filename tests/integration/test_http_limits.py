"""One's own limits over HTTP, and administrators who change them."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from billing.plans import DEFAULT, PLANS
from db.tables import AuditLog
from tests.support.deferred_jobs import by_status, deferred, limit, take
from tests.support.http import Person, World, problem


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 1000, "MAX_WAITING_JOBS": 12}


async def submit(person: Person, **more: Any) -> Any:
    body = {"generator": "scribe", "input": {"text": "hello"}, **more}
    return await person.post("/v1/jobs", json=body)


async def change(root: Person, person: Person, **limits: Any) -> dict[str, Any]:
    answer = await root.patch(f"/v1/admin/users/{person.id}", json=limits)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def audited(api: World) -> list[tuple[str, str, str, dict[str, Any]]]:
    async with api.sessions() as session:
        rows = await session.scalars(select(AuditLog).order_by(AuditLog.id))
        return [(row.actor, row.action, row.subject, row.detail) for row in rows]


async def test_everybody_sees_their_own_limits(api: World, ada: Person, root: Person) -> None:
    made = [(await submit(ada)).json()["id"] for _ in range(4)]
    await limit(api.sessions, ada.id, 1)
    assert [await take(api.sessions, job_id) for job_id in made[:2]] == [True, False]
    assert (await ada.get("/v1/limits")).json() == {
        "plan": "free",
        "waiting": {"now": 3, "max": 12},
        "running": {"now": 1, "max": 1},
        "streams": {"now": 0, "max": 25},
        "storage": {"now": 0, "max": None},
        "requests_per_minute": 600,
        "rates": {
            "read": {"per_minute": 600, "burst": 600},
            "write": {"per_minute": 300, "burst": 300},
            "submit": {"per_minute": 300, "burst": 300},
            "upload": {"per_minute": 120, "burst": 120},
            "refresh": {"per_minute": 60, "burst": 60},
        },
    }
    await change(root, ada, plan="unlimited", max_running_jobs=None, max_waiting_jobs=7)
    found = (await ada.get("/v1/limits")).json()
    assert (found["plan"], found["running"]["max"]) == ("unlimited", None)
    assert found["waiting"] == {"now": 3, "max": 7}
    problem(await api.http.get("/v1/limits"), 401, "unauthorized")


async def test_the_users_own_limit_of_waiting_jobs_holds_below_the_ceiling(
    api: World, ada: Person, root: Person
) -> None:
    await change(root, ada, max_waiting_jobs=2)
    assert [(await submit(ada)).status_code for _ in range(2)] == [202, 202]
    before = await api.assert_adds_up(ada.id)
    problem(await submit(ada), 429, "too_many_waiting")
    assert await api.assert_adds_up(ada.id) == before
    await change(root, ada, max_waiting_jobs=1000)
    answers = await asyncio.gather(*(submit(ada) for _ in range(12)))
    codes = [answer.status_code for answer in answers]
    assert (codes.count(202), codes.count(429)) == (10, 2), "the installation's holds for all"


async def test_deferred_jobs_are_waiting_ones_without_a_place_and_can_be_canceled(
    api: World, ada: Person
) -> None:
    await limit(api.sessions, ada.id, 1)
    first, second = [(await submit(ada)).json()["id"] for _ in range(2)]
    assert await take(api.sessions, first)
    assert not await take(api.sessions, second)
    await api.clients.queues["scribe"].remove(second, 1)  # as the replica that deferred it
    found = (await ada.get(f"/v1/jobs/{second}")).json()
    assert (found["status"], found["queue_position"]) == ("queued", None)
    answers = await asyncio.gather(*(ada.post(f"/v1/jobs/{second}/cancel") for _ in range(5)))
    assert {answer.json()["status"] for answer in answers} == {"canceled"}
    assert answers[0].json()["cost"]["charged"] == 0
    assert await by_status(api.sessions, ada.id) == {"running": 1, "canceled": 1}
    assert (await api.assert_adds_up(ada.id))[1] == 3, "held for the running one alone"


async def test_a_raised_limit_and_a_better_plan_let_parked_jobs_go_on(
    api: World, ada: Person, root: Person
) -> None:
    await limit(api.sessions, ada.id, 0)
    made = [(await submit(ada)).json()["id"] for _ in range(5)]
    assert not any([await take(api.sessions, job_id) for job_id in made])
    assert (await change(root, ada, max_running_jobs=2))["running"] == {"now": 0, "max": 2}
    assert await deferred(api.sessions, ada.id) == made[2:]
    found = await change(root, ada, max_running_jobs=None)
    assert found["running"]["max"] == DEFAULT.max_running_jobs
    assert await deferred(api.sessions, ada.id) == []


async def test_each_change_is_audited_with_what_it_was_before(
    api: World, ada: Person, root: Person
) -> None:
    await change(root, ada, plan="pro", max_running_jobs=3)
    await change(root, ada, plan="pro")
    found = await change(root, ada, max_running_jobs=None)
    assert (found["plan"], found["max_running_jobs"]) == ("pro", None)
    assert found["running"]["max"] == PLANS["pro"].max_running_jobs
    assert (await root.get(f"/v1/admin/users/{ada.id}")).json() == found
    assert await audited(api) == [
        (
            root.id,
            "user.limits",
            ada.id,
            {"plan": ["free", "pro"], "max_running_jobs": [None, 3]},
        ),
        (root.id, "user.limits", ada.id, {"max_running_jobs": [3, None]}),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"plan": "gold"},
        {"plan": None},
        {"max_running_jobs": -1},
        {"max_waiting_jobs": 10**9},
        {"max_running_jobs": "many"},
        {"balance": 10**6},
        {"role": "admin"},
    ],
)
async def test_what_is_no_limit_is_refused(
    api: World, ada: Person, root: Person, body: dict[str, Any]
) -> None:
    before = (await root.get(f"/v1/admin/users/{ada.id}")).json()
    problem(await root.patch(f"/v1/admin/users/{ada.id}", json=body), 422, "bad_input")
    assert (await root.get(f"/v1/admin/users/{ada.id}")).json() == before
    assert await audited(api) == []


async def test_an_account_that_is_not_there_is_not_found(root: Person) -> None:
    for other in ("usr_01J00000000000000000000000", "nonsense", "job_1"):
        problem(await root.get(f"/v1/admin/users/{other}"), 404, "not_found")
        answer = await root.patch(f"/v1/admin/users/{other}", json={"plan": "pro"})
        problem(answer, 404, "not_found")
