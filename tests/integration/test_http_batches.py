"""Batches over HTTP: all lines or none, exact to the credit, however often they are interrupted."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, text

from billing.concurrency import claim_or_defer
from billing.reconcile import reconcile
from billing.settlement import Settlement, settle
from db.jobs import queries
from db.redis.queue import JobQueue
from db.session import Sessions
from db.tables import Batch, Job, Outbox
from deployments.maintenance.cancel_jobs import cancel_jobs
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.maintenance.relay_outbox import relay_outbox
from deployments.settings import SharedSettings
from serve_app.batches import create
from tests.support.http import Person, World
from tests.support.receiver import Receiver

LINE = {"generator": "image", "input": {"prompt": "a red circle", "seed": 7}}


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 10_000, "ATELIER_FETCH_PRIVATE": True}


def jsonl(*lines: Any) -> bytes:
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


def numbered(count: int) -> bytes:
    return jsonl(*({**LINE, "metadata": {"n": number}} for number in range(count)))


async def sent(person: Person, content: bytes, key: str = "", **form: str) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    files = {"file": ("jobs.jsonl", content)}
    return await person.post("/v1/batches", files=files, data=form, headers=headers)


async def sent_until_taken(person: Person, content: bytes, key: str) -> httpx.Response:
    """A client that repeats: while another request with the key holds its row, it is told to."""
    while (answer := await sent(person, content, key)).status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return answer


async def batch_of(person: Person, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await person.get(f"/v1/batches/{batch_id}")).json()
    return found


async def results_of(person: Person, batch_id: str, after: int = 0) -> list[dict[str, Any]]:
    answer = await person.get(f"/v1/batches/{batch_id}/results", params={"after": after})
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


async def end(sessions: Sessions, job_id: str, status: str = "succeeded") -> None:
    """End a job as a runner does."""
    share = 1.0 if status == "succeeded" else 0.0
    failed = {"code": "bad_input", "title": "Bad", "detail": "no", "retryable": False}
    error = failed if status == "failed" else None
    async with sessions.begin() as session:
        job = await queries.get(session, job_id)
        assert job is not None
        assert await settle(session, job, Settlement(status, share, error=error)) is not None


async def jobs_of(sessions: Sessions, batch_id: str) -> list[Job]:
    async with sessions() as session:
        query = select(Job).where(Job.batch_id == batch_id).order_by(Job.batch_line)
        return list(await session.scalars(query))


async def test_lines_become_jobs_at_half_the_price(api: World, ada: Person) -> None:
    price = await ada.post("/v1/generators/image/quote", json={"input": LINE["input"] | {"n": 4}})
    full = price.json()["credits"]
    four = {**LINE, "input": LINE["input"] | {"n": 4}}
    answer = await sent(ada, jsonl(four, b"", four))
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["Location"] == f"/v1/batches/{batch['id']}"
    assert batch["cost"] == {"estimated": full, "charged": 0, "unit": "credit"}  # two for one
    assert (batch["status"], batch["priority"]) == ("in_progress", "low")
    listed = (await ada.get("/v1/jobs", params={"batch": batch["id"]})).json()["data"]
    assert [job["batch_id"] for job in listed] == [batch["id"]] * 2
    assert listed[0]["cost"]["breakdown"][1]["item"] == "50 % off as part of a batch"
    assert [job.batch_line for job in await jobs_of(api.sessions, batch["id"])] == [1, 3]
    assert await api.assert_adds_up(ada.id) == (10_000 - full, full)
    hurried = (await sent(ada, jsonl(four), priority="normal")).json()
    assert hurried["cost"]["estimated"] == full


async def test_counts_and_results_follow_the_jobs(api: World, ada: Person) -> None:
    batch = (await sent(ada, numbered(4))).json()
    jobs = await jobs_of(api.sessions, batch["id"])
    assert await results_of(ada, batch["id"]) == []
    for job, status in zip(jobs, ("succeeded", "failed", "canceled", "succeeded"), strict=True):
        assert (await batch_of(ada, batch["id"]))["finished_at"] is None
        await end(api.sessions, job.id, status)
    found = await batch_of(ada, batch["id"])
    assert found["counts"] == {
        "total": 4, "unfinished": 0, "succeeded": 2, "failed": 1, "canceled": 1,
    }  # fmt: skip
    assert found["status"] == "completed" and found["finished_at"] is not None
    assert found["cost"]["charged"] == sum(job.credits_quoted for job in (jobs[0], jobs[3]))
    lines = await results_of(ada, batch["id"])
    assert [line["line"] for line in lines] == [1, 2, 3, 4]
    assert [line["job"]["metadata"]["n"] for line in lines] == [0, 1, 2, 3]
    assert [line["line"] for line in await results_of(ada, batch["id"], after=2)] == [3, 4]


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (b"# a comment", ["line", 2]),
        (b"{broken", ["line", 2]),
        ({"generator": "image"}, ["line", 2, "input"]),
        ({**LINE, "generator": "imagine"}, ["line", 2, "generator"]),
        ({**LINE, "input": {"prompt": "x", "colour": "red"}}, ["line", 2, "input", "colour"]),
        ({**LINE, "priority": "high"}, ["line", 2, "priority"]),
        ({**LINE, "webhook_url": "ftp://example.com"}, ["line", 2, "webhook_url"]),
        (
            {**LINE, "input": {"prompt": "x", "init_image": {"file_id": "file_" + "0" * 26}}},
            ["line", 2, "input", "init_image"],
        ),
    ],
)
async def test_one_line_that_is_wrong_refuses_all_and_is_named(
    api: World, ada: Person, line: Any, where: list[str | int]
) -> None:
    answer = await sent(ada, jsonl(LINE, line, LINE))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][: len(where)] == where
    await assert_nothing(api, ada)


async def assert_nothing(api: World, ada: Person) -> None:
    async with api.sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Batch)) == 0
        assert await session.scalar(select(func.count()).select_from(Job)) == 0
    assert await api.assert_adds_up(ada.id) == (10_000, 0)


async def test_a_batch_needs_lines_and_credits_for_all_of_them(api: World, ada: Person) -> None:
    assert (await sent(ada, b"\n\n")).status_code == 422
    assert (await sent(ada, b"\xff\xfe\x00")).status_code == 422
    dear = jsonl(*[{**LINE, "input": LINE["input"] | {"n": 8}}] * 2_000)
    refused = await sent(ada, dear, priority="normal")
    assert refused.status_code == 402
    assert refused.json()["balance"] == 10_000 < refused.json()["required"]
    await assert_nothing(api, ada)


@pytest.mark.parametrize(
    "content",
    [
        b"x\n" * 100_000,
        b"\n" * 1_000_000,
        jsonl({**LINE, "input": {"prompt": [1] * 300_000}}),
        b"".join(jsonl({**LINE, "input": {"prompt": [1] * 9_000}}) + b"\n" for _ in range(130)),
    ],
    ids=["lines that are none", "empty lines", "a line of values", "lines of values"],
)
async def test_a_hostile_file_is_refused_before_it_fills_the_memory(
    api: World, ada: Person, content: bytes
) -> None:
    tracemalloc.start()
    answer = await sent(ada, content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) <= 50
    assert peak < 8 * len(content) + 150e6
    await assert_nothing(api, ada)


async def test_another_user_finds_nothing(api: World, ada: Person) -> None:
    batch = (await sent(ada, numbered(1))).json()
    eve = await api.guest()
    for path in ("", "/results"):
        assert (await eve.get(f"/v1/batches/{batch['id']}{path}")).status_code == 404
    assert (await eve.post(f"/v1/batches/{batch['id']}/cancel")).status_code == 404
    assert (await eve.get("/v1/batches")).json()["data"] == []
    assert (await eve.get("/v1/jobs", params={"batch": batch["id"]})).json()["data"] == []
    assert [one["id"] for one in (await ada.get("/v1/batches")).json()["data"]] == [batch["id"]]


async def test_two_thousand_jobs_though_the_connection_is_lost_in_the_middle(
    api: World,
    ada: Person,
    maintenance: MaintenanceContext,
    queue: JobQueue,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Postgres drops the connection after each step of the insertion; the client tries again."""
    content, broken = numbered(2_000), 0
    for step in ("tag", "hold_all", "write_all"):
        module = {"tag": create.fair_queue, "hold_all": create.ledger, "write_all": create.outbox}
        whole = getattr(module[step], step)

        async def and_lost(session: Any, *rest: Any, whole: Any = whole) -> None:
            await whole(session, *rest)
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

        with monkeypatch.context() as patch:
            patch.setattr(module[step], step, and_lost)
            answer = await sent(ada, content, "the-same")
        assert answer.status_code == 503, answer.text
        await assert_nothing(api, ada)
        broken += 1
    assert broken == 3
    taken = (sent_until_taken(ada, content, "the-same") for _ in range(3))
    answers = await asyncio.gather(*taken)
    (batch_id,) = {answer.json()["id"] for answer in answers}
    assert sorted("Idempotent-Replayed" in answer.headers for answer in answers) == [
        False, True, True,
    ]  # fmt: skip
    jobs = await jobs_of(api.sessions, batch_id)
    assert [job.user_metadata["n"] for job in jobs] == list(range(2_000))
    assert jobs == sorted(jobs, key=lambda job: job.id)
    assert jobs == sorted(jobs, key=lambda job: job.queue_tag)
    async with api.sessions.begin() as session:  # as if the process had ended before it pushed
        await session.execute(text("UPDATE outbox SET done_at = NULL, available_at = now()"))
    await redis.flushdb()
    assert await relay_outbox(replace(maintenance, queues={"image": queue})) == 2_000
    async with api.sessions() as session:
        waiting = select(func.count()).where(Outbox.topic == "enqueue", Outbox.done_at.is_(None))
        assert await session.scalar(waiting) == 0
        assert await reconcile(session) == []
    assert await queue.position(jobs[0].id, 1) == 0
    assert await queue.position(jobs[-1].id, 1) == 1_999
    assert (await sent(ada, numbered(3), "the-same")).status_code == 422


async def test_a_cancel_ends_what_waits_and_asks_the_others(
    api: World, ada: Person, maintenance: MaintenanceContext
) -> None:
    batch = (await sent(ada, numbered(300))).json()
    jobs = await jobs_of(api.sessions, batch["id"])
    await end(api.sessions, jobs[0].id)
    async with api.sessions.begin() as session:
        running = (
            "UPDATE jobs SET status = 'running', attempt = 1, heartbeat_at = now() WHERE id = :id"
        )
        await session.execute(text(running), {"id": jobs[1].id})
    for _ in range(2):
        asked = await ada.post(f"/v1/batches/{batch['id']}/cancel")
        assert asked.json()["status"] == "canceling"
    async with api.sessions.begin() as session:
        assert await claim_or_defer(session, jobs[2].id, 1) is None, "it would be paid for"
    assert await cancel_jobs(maintenance) == 299
    assert await cancel_jobs(maintenance) == 0
    async with api.sessions() as session:
        stopping = await queries.get(session, jobs[1].id)
    assert stopping is not None and stopping.cancel_requested_at is not None
    await end(api.sessions, jobs[1].id, "canceled")
    found = await batch_of(ada, batch["id"])
    assert found["status"] == "canceled"
    assert (found["counts"]["succeeded"], found["counts"]["canceled"]) == (1, 299)
    assert await api.assert_adds_up(ada.id) == (10_000 - jobs[0].credits_quoted, 0)


async def test_the_end_of_a_batch_is_sent_once(
    api: World, ada: Person, hooks: Receiver, maintenance: MaintenanceContext
) -> None:
    batch = (await sent(ada, numbered(20), webhook_url=f"{hooks.url}/hook")).json()
    jobs = await jobs_of(api.sessions, batch["id"])
    await asyncio.gather(*(end(api.sessions, job.id) for job in jobs))
    shared = SharedSettings(ATELIER_FETCH_PRIVATE=True)  # type: ignore[call-arg]
    await deliver_webhooks(replace(maintenance, shared=shared))
    (event,) = [one.event for one in hooks.got]
    assert event["type"] == "batch.finished"
    assert event["data"]["id"] == batch["id"]
    assert event["data"]["counts"]["succeeded"] == 20


@pytest.fixture
async def spender(ada: Person) -> AsyncIterator[Person]:
    made = await ada.post(
        "/v1/api-keys", json={"name": "k", "scopes": ["jobs:write"], "monthly_cap": 5}
    )
    yield Person(ada.world, ada.id, ada.email, {"access_token": made.json()["key"]})


async def test_the_cap_of_a_key_counts_for_the_whole_batch(
    api: World, ada: Person, spender: Person
) -> None:
    assert (await sent(spender, numbered(6))).status_code == 402
    assert (await sent(spender, numbered(5))).status_code == 202
    assert (await sent(spender, numbered(1))).status_code == 402
