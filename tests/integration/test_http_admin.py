"""What administrators do over HTTP, and nobody else."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from db.jobs import dead_letters
from db.object_store import ObjectStore
from db.redis.queue_worker import make_worker
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import AuditLog, DeadLetter, Job
from serve_app.api import create_api
from tests.support.http import Person, World, problem, running, settings_for


async def given_up(api: World, person: Person, text: str = "poison") -> tuple[str, str]:
    """A job of ``person`` that was given up, and its dead letter."""
    body = {"generator": "scribe", "input": {"text": text}, "metadata": {"album": "summer"}}
    job_id = str((await person.post("/v1/jobs", json=body)).json()["id"])
    ended = await api.end(job_id, "failed")
    async with api.sessions.begin() as session:
        await dead_letters.add(session, ended, "quarantined")
        await dead_letters.add(session, ended, "worker_lost")  # is there already
        letter_id = await session.scalar(select(DeadLetter.id).where(DeadLetter.job_id == job_id))
    return job_id, str(letter_id)


async def audited(api: World) -> list[tuple[str, str, str, dict[str, Any]]]:
    async with api.sessions() as session:
        rows = await session.scalars(select(AuditLog).order_by(AuditLog.id))
        return [(row.actor, row.action, row.subject, row.detail) for row in rows]


async def test_open_ones_are_listed_newest_first_with_what_was_asked(
    api: World, ada: Person, root: Person
) -> None:
    made = [await given_up(api, ada, text) for text in ("one", "two", "three")]
    await root.post(f"/v1/admin/dead-letters/{made[1][1]}/drop")
    first = (await root.get("/v1/admin/dead-letters", params={"limit": 1})).json()
    assert [one["job_id"] for one in first["data"]] == [made[2][0]]
    rest = (await root.get("/v1/admin/dead-letters", params={"after": first["next"]})).json()
    assert [(one["job_id"], one["input"]["text"]) for one in rest["data"]] == [(made[0][0], "one")]
    every = (await root.get("/v1/admin/dead-letters", params={"unresolved": False})).json()
    assert [one["resolution"] for one in every["data"]] == [None, "dropped", None]


async def test_a_retry_is_a_new_job_of_the_owner_who_pays_for_it(
    api: World, ada: Person, root: Person
) -> None:
    job_id, letter_id = await given_up(api, ada)
    before = await api.assert_adds_up(ada.id)
    path = f"/v1/admin/dead-letters/{letter_id}/retry"
    answers = await asyncio.gather(root.post(path), root.post(path))
    assert sorted(answer.status_code for answer in answers) == [200, 409], "one of them retried it"
    (done,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (done["resolution"], done["retried_as"] != job_id) == ("retried", True)

    again = (await ada.get(f"/v1/jobs/{done['retried_as']}")).json()
    assert (again["status"], again["input"]["text"]) == ("queued", "poison")
    assert again["metadata"] == {"album": "summer"}
    balance, held = await api.assert_adds_up(ada.id)
    assert (before[0] - balance, held) == (3, 3), "and only one was paid for"
    assert (await audited(api)) == [
        (root.id, "dead_letter.retried", letter_id, {"retried_as": done["retried_as"]})
    ]


async def test_what_was_dropped_is_not_retried(api: World, ada: Person, root: Person) -> None:
    _, letter_id = await given_up(api, ada)
    dropped = await root.post(f"/v1/admin/dead-letters/{letter_id}/drop")
    assert (dropped.status_code, dropped.json()["resolution"]) == (200, "dropped")
    for how in ("retry", "drop"):
        answer = await root.post(f"/v1/admin/dead-letters/{letter_id}/{how}")
        problem(answer, 409, "already_resolved")
    async with api.sessions() as session:
        assert len((await session.scalars(select(Job))).all()) == 1
    assert [row[1] for row in await audited(api)] == ["dead_letter.dropped"]


async def test_unknown_letters_are_not_found(root: Person) -> None:
    for letter_id in ("dead_01J00000000000000000000000", "nonsense", "job_1"):
        problem(await root.get(f"/v1/admin/dead-letters/{letter_id}"), 404, "not_found")
        problem(await root.post(f"/v1/admin/dead-letters/{letter_id}/drop"), 404, "not_found")


async def order(root: Person, what: str, generator: str = "scribe") -> dict[str, Any]:
    answer = await root.post(f"/v1/admin/queues/{generator}/{what}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def submit(person: Person) -> Any:
    body = {"generator": "scribe", "input": {"text": "hello"}}
    return await person.post("/v1/jobs", json=body)


async def test_a_paused_queue_accepts_jobs_which_wait_until_it_goes_on(
    api: World, ada: Person, root: Person, redis_url: str
) -> None:
    assert (await order(root, "pause"))["paused"] is True
    job_id = (await submit(ada)).json()["id"]
    (seen,) = (await root.get("/v1/admin/queues")).json()["data"]
    assert (seen["waiting"], seen["paused"], seen["draining"]) == (1, True, False)

    taken = asyncio.Event()

    async def process(taken_id: str, attempt: int) -> None:
        assert taken_id == job_id
        taken.set()

    worker = make_worker(redis_url, "scribe", process)
    running_worker = asyncio.create_task(worker.run())
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(taken.wait()), 1.5)
        assert (await order(root, "resume"))["paused"] is False
        await asyncio.wait_for(taken.wait(), 120)
    finally:
        await worker.drain()
        await running_worker


async def test_a_draining_queue_refuses_jobs_and_holds_no_credits_for_them(
    api: World, ada: Person, root: Person
) -> None:
    waiting = (await submit(ada)).json()["id"]
    before = await api.assert_adds_up(ada.id)
    assert (await order(root, "drain"))["draining"] is True
    answer = await submit(ada)
    problem(answer, 503, "draining")
    assert answer.headers["retry-after"] == "60"
    assert await api.assert_adds_up(ada.id) == before
    assert (await ada.get(f"/v1/jobs/{waiting}")).json()["status"] == "queued", "it is still done"
    await order(root, "resume")
    assert (await submit(ada)).status_code == 202


async def test_each_order_is_audited_once(api: World, root: Person) -> None:
    for what in ("pause", "pause", "drain", "resume", "resume"):
        await order(root, what)
    assert [(row[1], row[2]) for row in await audited(api)] == [
        ("queue.pause", "scribe"),
        ("queue.drain", "scribe"),
        ("queue.resume", "scribe"),
    ]
    problem(await root.post("/v1/admin/queues/nothing/pause"), 404, "not_found")
    problem(await root.post("/v1/admin/queues/scribe/explode"), 422, "bad_input")


async def test_a_user_has_only_so_many_jobs_waiting(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> None:
    settings = settings_for(store_settings, MAX_WAITING_JOBS=2)
    app = create_api(["tests.support.scribe"], settings)
    async with running(app) as client:
        api = World(app, client)
        ada, bob = await api.guest(), await api.guest()
        first = (await submit(ada)).json()["id"]
        assert (await submit(ada)).status_code == 202
        answer = await submit(ada)
        problem(answer, 429, "too_many_waiting")
        assert int(answer.headers["retry-after"]) > 0
        assert (await api.assert_adds_up(ada.id))[1] == 6, "for two jobs"
        assert (await submit(bob)).status_code == 202, "others have their own"
        await api.end(first, "canceled")
        assert (await submit(ada)).status_code == 202
