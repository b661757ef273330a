"""Submit, read, wait for and cancel jobs over HTTP; every credit accounted for."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pkgutil import resolve_name
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import update

from db.jobs import transitions
from db.outbox import rows as outbox
from db.redis.client import Flags, get_flags
from db.redis.queue import message_id
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import IdempotencyKey, Job, Outbox
from deployments.messaging.job_events import publish_done
from tests.support.http import WELCOME, Person, World, patiently, problem, without_redis, world
from tests.support.jobs import claim, read, undelivered
from tests.support.waiting import until

PRICE = 2
AFFORDABLE = WELCOME // PRICE


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


async def test_a_submitted_job_is_described_held_for_and_queued(api: World, ada: Person) -> None:
    body = {
        "generator": "image",
        "input": {"prompt": " a red circle ", "seed": 7},
        "priority": "high",
        "metadata": {"order": 12, "note": "ü"},
    }
    answer = await ada.post("/v1/jobs", json=body)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["ratelimit"] and "idempotent-replayed" not in answer.headers
    age = datetime.now(UTC) - datetime.fromisoformat(job.pop("created_at"))
    assert abs(age) < timedelta(minutes=1)
    assert job == {
        "id": job["id"],
        "object": "job",
        "generator": "image",
        "status": "queued",
        "progress": 0.0,
        "stage": "queued",
        "queue_position": 0,
        "input": {"prompt": "a red circle", "seed": 7},
        "seed": 7,
        "attempt": 0,
        "outputs": [],
        "error": None,
        "cost": job["cost"],
        "priority": "high",
        "batch_id": None,
        "cached_from": None,
        "cancel_at": None,
        "webhook_url": None,
        "metadata": {"order": 12, "note": "ü"},
        "started_at": None,
        "finished_at": None,
    }
    assert (job["cost"]["estimated"], job["cost"]["charged"]) == (PRICE, None)
    credits = (await ada.get("/v1/credits")).json()
    assert (credits["balance"], credits["held"]) == (WELCOME - PRICE, PRICE)
    newest = (await ada.get("/v1/credits/transactions")).json()["data"][0]
    assert (newest["kind"], newest["amount"], newest["job_id"]) == ("hold", PRICE, job["id"])
    assert await api.movements(ada.id) == {"hold": 1}
    assert await api.assert_adds_up(ada.id) == (WELCOME - PRICE, PRICE)
    message = message_id(job["id"], 1)
    assert await api.clients.queues["image"].contains([message]) == {message}
    assert await api.count(Outbox) == 1

    async def confirmed() -> bool:
        return await undelivered(api.sessions, outbox.ENQUEUE) == []

    await until(confirmed)


async def test_a_job_without_a_seed_gets_one_and_keeps_it(api: World, ada: Person) -> None:
    first, second = [(await ada.submit()).json() for _ in range(2)]
    assert first["seed"] != second["seed"]
    again = (await ada.get(f"/v1/jobs/{first['id']}")).json()
    assert again["seed"] == again["input"]["seed"] == first["seed"]


async def test_a_job_is_read_as_its_row_stands(api: World, ada: Person) -> None:
    first, second = await ada.job(), await ada.job()
    assert (await ada.get(f"/v1/jobs/{second}")).json()["queue_position"] == 1
    await claim(api.sessions, first, 1)
    async with api.sessions.begin() as session:
        await transitions.heartbeat(session, first, 1, 0.5, "drawing")
    running = (await ada.get(f"/v1/jobs/{first}")).json()
    assert (running["status"], running["attempt"]) == ("running", 1)
    assert (running["progress"], running["stage"]) == (0.5, "drawing")
    assert (running["queue_position"], running["finished_at"]) == (None, None)
    assert running["started_at"] is not None
    await api.end(first, "succeeded", share=0.5)
    done = (await ada.get(f"/v1/jobs/{first}")).json()
    assert (done["status"], done["progress"], done["stage"]) == ("succeeded", 1.0, "done")
    assert (done["cost"]["charged"], done["finished_at"] is None) == (1, False)
    assert await api.assert_adds_up(ada.id) == (WELCOME - PRICE - 1, PRICE)


async def test_a_list_is_newest_first_and_filtered(api: World, ada: Person) -> None:
    ids = [await ada.job(f"circle {n}") for n in range(4)]
    await api.end(ids[1], "failed")
    between = (await read(api.sessions, ids[2])).created_at.isoformat()
    others = await api.guest()
    await others.job()

    async def listed(**query: str) -> list[str]:
        found = (await ada.get("/v1/jobs", params=query)).json()
        assert (found["has_more"], found["next"]) == (False, None)
        for item in found["data"]:
            assert item == (await ada.get(f"/v1/jobs/{item['id']}")).json()
        return [item["id"] for item in found["data"]]

    assert await listed() == ids[::-1]
    assert await listed(status="queued") == [ids[3], ids[2], ids[0]]
    assert await listed(status="failed") == [ids[1]]
    assert await listed(status="running") == []
    assert await listed(generator="image") == ids[::-1]
    assert await listed(generator="other") == []
    assert await listed(created_after=between) == [ids[3]]
    assert await listed(created_before=between) == [ids[1], ids[0]]
    assert await listed(created_before=between, status="queued") == [ids[0]]


async def test_pages_join_up_while_new_jobs_arrive(api: World, ada: Person) -> None:
    ids = [await ada.job() for _ in range(4)]
    first = (await ada.get("/v1/jobs?limit=2")).json()
    assert (first["has_more"], first["next"]) == (True, ids[2])
    await ada.job()
    second = (await ada.get(f"/v1/jobs?limit=2&after={first['next']}")).json()
    assert (second["has_more"], second["next"]) == (False, None)
    assert [item["id"] for item in first["data"] + second["data"]] == ids[::-1]
    third = (await ada.get(f"/v1/jobs?after={ids[0]}")).json()
    assert third == {"data": [], "has_more": False, "next": None}


async def test_another_persons_job_is_not_there(api: World, ada: Person) -> None:
    job_id = await ada.job()
    eve = await api.guest()
    for path in ("", "?wait=5", "/events", "/metadata"):
        problem(await eve.get(f"/v1/jobs/{job_id}{path}"), 404, "not_found")
    problem(await eve.post(f"/v1/jobs/{job_id}/cancel"), 404, "not_found")
    assert (await eve.get("/v1/jobs")).json()["data"] == []
    assert (await eve.get(f"/v1/jobs?after={job_id}")).json()["data"] == []
    job = await read(api.sessions, job_id)
    assert (job.status, job.cancel_requested_at) == ("queued", None)
    assert await api.assert_adds_up(eve.id) == (WELCOME, 0)


async def test_the_metadata_are_those_of_the_document_where_nothing_else_is_told(
    api: World, ada: Person
) -> None:
    job_id = await ada.job()
    empty = await ada.get(f"/v1/jobs/{job_id}/metadata")
    assert empty.json() == {"job_id": job_id, "metadata": {}, "logs": []}
    await claim(api.sessions, job_id, 1)
    await api.clients.documents.merge(job_id, {"seed": 7, "stages": [{"name": "load"}]})
    found = (await ada.get(f"/v1/jobs/{job_id}/metadata")).json()["metadata"]
    assert found == {"seed": 7, "stages": [{"name": "load"}]}


async def test_a_waiting_job_is_canceled_once_and_costs_nothing(api: World, ada: Person) -> None:
    job_id = await ada.job()
    first = await ada.post(f"/v1/jobs/{job_id}/cancel")
    assert first.status_code == 200
    job = first.json()
    assert (job["status"], job["stage"], job["queue_position"]) == ("canceled", "canceled", None)
    assert (job["cost"]["estimated"], job["cost"]["charged"]) == (PRICE, 0)
    assert job["finished_at"]
    second = await ada.post(f"/v1/jobs/{job_id}/cancel")
    assert (second.status_code, second.json()) == (200, job)
    assert (await ada.get(f"/v1/jobs/{job_id}")).json() == job
    assert await api.assert_adds_up(ada.id) == (WELCOME, 0)
    assert await api.movements(ada.id) == {"hold": 1, "release": 1}
    assert await api.notices() == [f"{job_id}:canceled"]
    assert await undelivered(api.sessions, outbox.NOTIFY) == []
    assert (await api.clients.queues["image"].counts()).waiting == 0


async def test_a_running_job_is_asked_to_stop(api: World, ada: Person, redis: Redis) -> None:
    job_id = await ada.job()
    await claim(api.sessions, job_id, 1)
    for _ in range(2):
        answer = await ada.post(f"/v1/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert (await read(api.sessions, job_id)).cancel_requested_at is not None
    assert await get_flags(redis, [job_id]) == [Flags(watched=False, canceled=True)]
    assert await api.assert_adds_up(ada.id) == (WELCOME - PRICE, PRICE)
    assert await api.notices() == []


@pytest.mark.parametrize(("status", "share"), [("succeeded", 1.0), ("failed", 0.0)])
async def test_cancelling_what_has_ended_changes_nothing(
    api: World, ada: Person, status: str, share: float
) -> None:
    job_id = await ada.job()
    await claim(api.sessions, job_id, 1)
    await api.end(job_id, status, share)
    before = (await ada.get(f"/v1/jobs/{job_id}")).json(), await api.movements(ada.id)
    canceled = await ada.post(f"/v1/jobs/{job_id}/cancel")
    assert (canceled.status_code, canceled.json()["status"]) == (200, status)
    assert ((await ada.get(f"/v1/jobs/{job_id}")).json(), await api.movements(ada.id)) == before
    assert await api.notices() == [f"{job_id}:{status}"]


async def test_ten_simultaneous_cancels_settle_once(api: World, ada: Person) -> None:
    job_id = await ada.job()
    answers = await asyncio.gather(*(ada.post(f"/v1/jobs/{job_id}/cancel") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    seen = {(answer.json()["status"], answer.json()["finished_at"]) for answer in answers}
    assert [status for status, _ in seen] == ["canceled"], "one end, at one time"
    assert await api.movements(ada.id) == {"hold": 1, "release": 1}
    assert await api.notices() == [f"{job_id}:canceled"]
    assert await api.assert_adds_up(ada.id) == (WELCOME, 0)


async def test_cancel_and_claim_at_once_have_one_winner(api: World, ada: Person) -> None:
    async def taken(job_id: str) -> bool:
        async with api.sessions.begin() as session:
            return await transitions.claim(session, job_id, 1) is not None

    ids = [await ada.job() for _ in range(AFFORDABLE)]
    cancels = [ada.post(f"/v1/jobs/{job_id}/cancel") for job_id in ids]
    answers, claims = await asyncio.gather(
        asyncio.gather(*cancels), asyncio.gather(*(taken(job_id) for job_id in ids))
    )
    for job_id, answer, claimed in zip(ids, answers, claims, strict=True):
        job = await read(api.sessions, job_id)
        assert answer.json()["status"] == job.status == ("running" if claimed else "canceled")
        assert (job.cancel_requested_at is not None) == claimed
    running = sum(claims)
    assert await api.assert_adds_up(ada.id) == (WELCOME - PRICE * running, PRICE * running)


async def test_fifty_submits_at_once_take_what_the_balance_covers(api: World, ada: Person) -> None:
    answers = await asyncio.gather(*(patiently(ada.submit, f"circle {n}") for n in range(50)))
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.json()["id"] for answer in accepted}) == len(accepted) == AFFORDABLE
    for answer in answers:
        if answer.status_code != 202:
            found = problem(answer, 402, "not_enough_credits")
            assert (found["required"], found["balance"]) == (PRICE, 0)
    assert await api.assert_adds_up(ada.id) == (0, WELCOME)
    assert await api.movements(ada.id) == {"hold": AFFORDABLE}
    assert await api.count(Job, ada.id) == await api.count(Outbox) == AFFORDABLE
    assert (await api.clients.queues["image"].counts()).waiting == AFFORDABLE


async def test_a_job_dearer_than_the_balance_leaves_no_trace(api: World, ada: Person) -> None:
    body = {"generator": "image", "input": {"prompt": "large", "width": 2048, "height": 2048}}
    answer = await ada.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"})
    found = problem(answer, 402, "not_enough_credits")
    assert (found["required"], found["balance"]) == (16 * PRICE, WELCOME)
    assert await api.nothing_happened(ada.id)


async def test_the_same_key_and_body_give_the_same_job(api: World, ada: Person) -> None:
    first = await ada.submit("a", **{"Idempotency-Key": "key-1"})
    again = await ada.submit("a", **{"Idempotency-Key": "key-1"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    problem(await ada.submit("b", **{"Idempotency-Key": "key-1"}), 422, "idempotency_mismatch")
    assert await api.count(Job) == await api.count(Outbox) == 1
    assert await api.assert_adds_up(ada.id) == (WELCOME - PRICE, PRICE)


async def test_a_key_is_its_users_own_and_free_again_after_a_day(api: World, ada: Person) -> None:
    bob = await api.guest()
    key = {"Idempotency-Key": "key-1"}
    jobs_made = {(await person.submit("a", **key)).json()["id"] for person in (ada, bob)}
    assert len(jobs_made) == 2
    for hours, replayed in ((23.9, True), (24.1, False)):
        past = datetime.now(UTC) - timedelta(hours=hours)
        async with api.sessions.begin() as session:
            await session.execute(update(IdempotencyKey).values(created_at=past))
        answer = await ada.submit("a", **key)
        assert (answer.json()["id"] in jobs_made) is replayed
        assert ("idempotent-replayed" in answer.headers) is replayed


async def test_ten_identical_posts_at_once_make_one_job(api: World, ada: Person) -> None:
    key = {"Idempotency-Key": "key-1"}
    answers = await asyncio.gather(*(ada.submit("a", **key) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 9
    assert await api.count(Job) == await api.count(Outbox) == 1
    assert await api.movements(ada.id) == {"hold": 1}
    assert await api.assert_adds_up(ada.id) == (WELCOME - PRICE, PRICE)


@pytest.mark.parametrize("silent", [False, True])
async def test_without_redis_a_job_is_taken_and_left_to_the_keeper(
    quick_to_give_up: None, store_settings: StoreSettings, sessions: Sessions, silent: bool
) -> None:
    with without_redis(store_settings, silent=silent) as cut_off:
        async with world(cut_off) as api:
            ada = await api.guest()
            started = time.monotonic()
            answer = await ada.submit()
            assert answer.status_code == 202
            assert time.monotonic() - started < 30, "it did not wait for Redis for ever"
            job = answer.json()
            assert (job["status"], job["queue_position"]) == ("queued", None)
            assert await undelivered(sessions, outbox.ENQUEUE) == [message_id(job["id"], 1)]
            assert await api.assert_adds_up(ada.id) == (WELCOME - PRICE, PRICE)
            canceled = await ada.post(f"/v1/jobs/{job['id']}/cancel")
            assert canceled.json()["status"] == "canceled"
            assert await undelivered(sessions, outbox.NOTIFY) == [f"{job['id']}:canceled"]
            assert await api.assert_adds_up(ada.id) == (WELCOME, 0)


async def test_waiting_for_a_final_job_returns_at_once(api: World, ada: Person) -> None:
    job_id = await ada.job()
    await api.end(job_id, "failed")
    async with asyncio.timeout(40):
        assert (await ada.get(f"/v1/jobs/{job_id}?wait=60")).json()["status"] == "failed"


async def test_a_wait_lasts_as_asked_while_nothing_happens(api: World, ada: Person) -> None:
    job_id = await ada.job()
    started = time.monotonic()
    assert (await ada.get(f"/v1/jobs/{job_id}?wait=1.2")).json()["status"] == "queued"
    assert 1.2 <= time.monotonic() - started < 30


async def test_a_store_that_is_late_once_ends_no_wait(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await ada.job()
    await api.end(job_id, "failed")
    for name in ("serve_app.jobs.read.get_job", "serve_app.jobs.job_watch.JobWatch.read_state"):
        late_once(monkeypatch, name)
    answer = await ada.get(f"/v1/jobs/{job_id}?wait=60")
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")


def late_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    read, faults = resolve_name(name), iter([TimeoutError()])

    async def late(*given: Any) -> Any:
        for fault in faults:
            raise fault
        return await read(*given)

    monkeypatch.setattr(name, late)


@pytest.mark.parametrize(("told", "look_every_s"), [(True, 3600.0), (False, 0.5)])
async def test_a_wait_ends_with_the_job(
    store_settings: StoreSettings,
    sessions: Sessions,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
    look_every_s: float,
) -> None:
    """By the event where there is one, long before the next look; else by looking at the row."""
    monkeypatch.setattr("serve_app.jobs.job_watch.POLL_INTERVAL_S", look_every_s)
    async with world(store_settings) as api:
        ada = await api.guest()
        job_id = await ada.job()
        waiting = asyncio.create_task(ada.get(f"/v1/jobs/{job_id}?wait=60"))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        job = await api.end(job_id, "failed")
        if told:
            await publish_done(redis, api.sessions, job)
        async with asyncio.timeout(40):
            assert (await waiting).json()["status"] == "failed"
