"""Webhooks reach their receivers, whatever dies, drags or refuses. Real stores, real receivers."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, update

from billing.settlement import Ending, settle
from db import jobs, outbox, webhook_secrets
from db.embedded.state import free_port
from db.engine import Sessions
from db.objects import ObjectStore, output_key
from db.settings import StoreSettings
from db.tables import Job, Outbox
from deployments.keeping import webhooks
from deployments.keeping.house import House
from deployments.keeping.relay import relay
from deployments.keeping.webhooks import EACH_AT_ONCE, MOST_AT_ONCE, deliver_webhooks
from deployments.settings import SharedSettings
from tests.support.jobs import claim, new_user, read, submit, undelivered
from tests.support.keeping import kept
from tests.support.receiver import Receiver, receiver, verifies
from tests.support.scribe import SPEC
from tests.support.stores import opened

ROOT = Path(__file__).parents[2]
SLOW = timedelta(seconds=1)


@pytest.fixture
async def house(
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    store_settings: StoreSettings,
    redis_url: str,
) -> AsyncIterator[House]:
    shared = SharedSettings(ATELIER_FETCH_PRIVATE=True)
    async with opened(store_settings) as stores, kept(stores, redis_url) as house:
        yield dataclasses.replace(house, shared=shared)


@pytest.fixture
async def user_id(sessions: Sessions) -> str:
    return await new_user(sessions, credits=1000)


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


async def end(sessions: Sessions, job: Job, status: str, **more: Any) -> Job:
    async with sessions.begin() as session:
        ended = await settle(session, job, Ending(status, **more))
    assert ended is not None
    return ended


async def canceled(sessions: Sessions, user_id: str, url: str) -> str:
    """A job that ended, with one event to tell of it."""
    job_id = await submit(sessions, SPEC, user_id, webhook_url=url, text="x")
    await end(sessions, await read(sessions, job_id), "canceled")
    return job_id


async def rows(sessions: Sessions) -> list[Outbox]:
    query = select(Outbox).where(Outbox.topic == outbox.WEBHOOK).order_by(Outbox.id)
    async with sessions() as session:
        return list(await session.scalars(query))


async def row(sessions: Sessions) -> Outbox:
    (only,) = await rows(sessions)
    return only


async def make_due(sessions: Sessions, **more: Any) -> None:
    """As if the time until the next attempt, or of a lease, had passed."""
    values = {"available_at": datetime.now(UTC) - timedelta(seconds=1), **more}
    async with sessions.begin() as session:
        await session.execute(update(Outbox).where(Outbox.done_at.is_(None)).values(**values))


async def secret_of(sessions: Sessions, user_id: str) -> str:
    async with sessions.begin() as session:
        return (await webhook_secrets.ensure(session, [user_id]))[user_id].secret


async def again_in(sessions: Sessions) -> timedelta:
    return (await row(sessions)).available_at - datetime.now(UTC)


# What is told


async def test_a_job_tells_when_it_starts_and_how_it_ends(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    assert await rows(sessions) == []
    job = await claim(sessions, job_id, 1)
    assert await deliver_webhooks(house) == 1
    output = {
        "name": "page-0.txt", "kind": "text", "content_type": "text/plain", "bytes": 5,
        "width": None, "height": None, "duration_s": None, "sha256": "s",
        "object_key": output_key(user_id, job_id, 1, "page-0.txt"),
    }  # fmt: skip
    ended = await end(sessions, job, "succeeded", share=1.0, outputs=[output])
    assert await deliver_webhooks(house) == 1
    assert await deliver_webhooks(house) == 0
    started, succeeded = hooks.got
    secret = await secret_of(sessions, user_id)
    for one in (started, succeeded):
        assert verifies(one, secret) and not verifies(one, "whsec_" + "A" * 43 + "=")
        assert one.headers["content-type"] == "application/json"
        assert abs(int(one.headers["webhook-timestamp"]) - time.time()) < 30
    ulid = job_id.removeprefix("job_")
    assert [one.id for one in hooks.got] == [f"msg_{ulid}_started", f"msg_{ulid}_succeeded"]
    data = started.event["data"]
    assert started.event.keys() == {"type", "timestamp", "data"}
    assert started.event["type"] == "job.started"
    assert (data["id"], data["status"], data["attempt"]) == (job_id, "running", 1)
    assert (data["outputs"], data["cost"]["charged"]) == ([], None)
    assert started.event["timestamp"] == data["started_at"]
    data = succeeded.event["data"]
    assert (succeeded.event["type"], data["status"]) == ("job.succeeded", "succeeded")
    assert data["cost"] == {"estimated": 3, "charged": 3, "unit": "credit"}
    assert ended.finished_at == datetime.fromisoformat(data["finished_at"])
    assert succeeded.event["timestamp"] == data["finished_at"]
    (shown,) = data["outputs"]
    assert "object_key" not in shown and "/page-0.txt" not in shown.pop("url").partition("?")[2]
    assert shown.pop("expires_at") and shown == {n: output[n] for n in output if n in shown}
    assert await undelivered(sessions, outbox.WEBHOOK) == []


async def test_what_a_job_was_at_its_start_is_told_also_once_it_has_ended(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    job = await claim(sessions, job_id, 1)
    await end(sessions, job, "failed", error={"code": "c", "title": "t", "detail": "d"})
    assert await deliver_webhooks(house) == 2
    told = {one.event["type"]: one.event["data"] for one in hooks.got}
    assert told["job.started"]["status"] == "running"
    for name in ("error", "finished_at"):
        assert told["job.started"][name] is None and told["job.failed"][name] is not None


async def test_only_the_first_attempt_is_a_start_and_no_webhook_is_no_event(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    plain = await submit(sessions, SPEC, user_id, text="x")
    await end(sessions, await claim(sessions, plain, 1), "failed")
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    for attempt in (1, 2):
        await claim(sessions, job_id, attempt)
        async with sessions.begin() as session:
            gone = datetime.now(UTC) - 2 * jobs.LEASE
            await session.execute(update(Job).values(heartbeat_at=gone))
            assert await jobs.give_back(session, job_id, attempt) is not None
    assert await deliver_webhooks(house) == 1
    assert hooks.types() == ["job.started"]


async def test_what_was_rolled_back_is_not_told(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    job = await read(sessions, job_id)
    with pytest.raises(ConnectionResetError):
        async with sessions.begin() as session:
            assert await settle(session, job, Ending("canceled")) is not None
            raise ConnectionResetError("the process dies here")
    async with sessions.begin() as session:
        assert await jobs.claim(session, job_id, 1) is not None
        await session.rollback()
    assert (await read(sessions, job_id)).status == "queued"
    assert await rows(sessions) == []
    assert await deliver_webhooks(house) == 0 and hooks.got == []


async def test_an_erased_job_is_told_of_no_more(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await canceled(sessions, user_id, hooks.url)
    async with sessions.begin() as session:
        assert await jobs.erase(session, job_id, user_id)
    assert await deliver_webhooks(house) == 0
    assert hooks.got == [] and (await row(sessions)).done_at is not None
    assert (await read(sessions, job_id)).webhook_url is None


async def test_the_relay_and_the_webhooks_leave_each_others_rows_alone(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    await canceled(sessions, user_id, hooks.url)
    await make_due(sessions)
    assert await relay(house) == 2  # what the submit and the settlement wrote
    assert hooks.got == []
    await canceled(sessions, user_id, hooks.url)
    await make_due(sessions)
    assert await deliver_webhooks(house) == 2
    assert len(await undelivered(sessions, outbox.ENQUEUE)) == 1


# Signatures


async def test_for_a_day_after_it_was_rolled_the_old_secret_signs_beside_the_new_one(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    first = await secret_of(sessions, user_id)
    async with sessions.begin() as session:
        second = (await webhook_secrets.roll(session, user_id)).secret
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(house) == 1
    assert verifies(hooks.got[0], first) and verifies(hooks.got[0], second)
    assert len(hooks.got[0].headers["webhook-signature"].split()) == 2
    async with sessions.begin() as session:
        row = (await webhook_secrets.ensure(session, [user_id]))[user_id]
        assert row.previous_until is not None
        assert abs(row.previous_until - datetime.now(UTC) - timedelta(hours=24)) < 10 * SLOW
        row.previous_until = datetime.now(UTC) - timedelta(seconds=1)
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(house) == 1
    assert verifies(hooks.got[1], second) and not verifies(hooks.got[1], first)


# Receivers that are away, slow or unwilling


async def test_a_receiver_that_was_down_gets_it_once_it_is_up(
    house: House, user_id: str, sessions: Sessions
) -> None:
    port = free_port()
    await canceled(sessions, user_id, f"http://127.0.0.1:{port}/hook")
    assert await deliver_webhooks(house) == 0
    found = await row(sessions)
    assert (found.attempts, found.done_at) == (1, None)
    assert found.error is not None and "could not be reached" in found.error
    assert timedelta(seconds=2) < await again_in(sessions) <= timedelta(seconds=5)
    with receiver(port) as hooks:
        assert await deliver_webhooks(house) == 0 and hooks.got == [], "not yet"
        hooks.status["/hook"] = 503
        await make_due(sessions)
        assert await deliver_webhooks(house) == 0
        assert timedelta(seconds=20) < await again_in(sessions) <= timedelta(seconds=30)
        hooks.status["/hook"] = 200
        await make_due(sessions)
        assert await deliver_webhooks(house) == 1
        refused, taken = hooks.got
    assert refused.id == taken.id and refused.body == taken.body
    found = await row(sessions)
    assert found.done_at is not None and found.error is None


async def test_slow_receivers_hold_up_nobody_else_and_no_transaction(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    slow_url = hooks.url.replace("/hook", "/slow")
    hooks.pause_s["/slow"] = 4.0
    for _ in range(3 * EACH_AT_ONCE):
        await canceled(sessions, user_id, slow_url)
    other = await new_user(sessions)
    for _ in range(6):
        await canceled(sessions, other, hooks.url)
    began = time.monotonic()
    delivering = asyncio.create_task(deliver_webhooks(house))
    await asyncio.to_thread(hooks.wait, 6)
    late = await canceled(sessions, other, hooks.url)
    await asyncio.to_thread(hooks.wait, 7)
    assert hooks.got[-1].event["data"]["id"] == late
    assert time.monotonic() - began < 3.5, "others waited for the slow one"
    assert len(hooks.of("/slow")) == EACH_AT_ONCE
    assert await open_transactions(sessions) == 0
    hooks.pause_s.clear()
    assert await delivering == 3 * EACH_AT_ONCE + 7


async def open_transactions(sessions: Sessions) -> int:
    """Those of other connections that hold a transaction open and do nothing."""
    from sqlalchemy import text

    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        " AND pid <> pg_backend_pid()"
    )
    async with sessions() as session:
        return int(await session.scalar(text(idle)) or 0)


async def test_one_round_sends_no_more_at_once_than_it_may(
    house: House, sessions: Sessions, hooks: Receiver
) -> None:
    hooks.pause_s["/hook"] = 1.5
    for _ in range(MOST_AT_ONCE // EACH_AT_ONCE + 1):
        one = await new_user(sessions)
        for _ in range(EACH_AT_ONCE + 1):
            await canceled(sessions, one, hooks.url)
    delivering = asyncio.create_task(deliver_webhooks(house))
    await asyncio.to_thread(hooks.wait, MOST_AT_ONCE)
    await asyncio.sleep(0.3)
    assert len(hooks.got) == MOST_AT_ONCE
    users = {(await read(sessions, one.event["data"]["id"])).user_id for one in hooks.got}
    assert len(users) == MOST_AT_ONCE // EACH_AT_ONCE + 1, "everybody has a first one"
    hooks.pause_s.clear()
    await delivering


async def test_a_receiver_that_takes_too_long_is_asked_again_later(
    house: House,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deployments.webhooks.SEND_WITHIN_S", 0.3)
    hooks.pause_s["/hook"] = 5.0
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(house) == 0
    found = await row(sessions)
    assert (found.error, found.done_at) == ("it took longer than 0.3 seconds", None)


async def test_a_receiver_that_is_gone_is_asked_no_more(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    hooks.status["/hook"] = 410
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(house) == 0
    found = await row(sessions)
    assert (found.error, found.done_at is None) == ("the server answered 410", False)
    await make_due(sessions)
    await deliver_webhooks(house)
    assert len(hooks.got) == 1


async def test_a_redirect_is_a_failure_and_nobody_follows_it(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    hooks.status["/hook"] = 307
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(house) == 0
    assert [one.path for one in hooks.got] == ["/hook"]
    assert (await row(sessions)).error == "the server answered 307"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254"])
async def test_nothing_is_sent_to_an_address_that_is_not_public(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver, host: str
) -> None:
    strict = dataclasses.replace(house, shared=SharedSettings(ATELIER_FETCH_PRIVATE=False))
    await canceled(sessions, user_id, hooks.url.replace("127.0.0.1", host))
    assert await deliver_webhooks(strict) == 0
    assert hooks.got == []
    found = await row(sessions)
    assert (found.error, found.done_at) == ("only public addresses are allowed", None)


@pytest.mark.parametrize(
    ("attempts", "delay"), [(0, 5), (1, 30), (2, 120), (3, 600), (4, 1800), (5, 3600), (40, 7200)]
)
async def test_it_is_tried_later_and_later(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver, attempts: int, delay: int
) -> None:
    hooks.status["/hook"] = 500
    await canceled(sessions, user_id, hooks.url)
    await make_due(sessions, attempts=attempts)
    await deliver_webhooks(house)
    assert timedelta(seconds=delay - 3) < await again_in(sessions) <= timedelta(seconds=delay)


async def test_it_is_given_up_a_day_after_it_happened(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    hooks.status["/hook"] = 500
    await canceled(sessions, user_id, hooks.url)
    day = timedelta(hours=24)
    young = datetime.now(UTC) - day + timedelta(minutes=125)
    await make_due(sessions, attempts=20, created_at=young)
    await deliver_webhooks(house)
    assert (await row(sessions)).done_at is None
    await make_due(sessions, created_at=young - timedelta(minutes=10))
    await deliver_webhooks(house)
    found = await row(sessions)
    assert (found.error, found.done_at is None) == ("the server answered 500", False)
    await deliver_webhooks(house)
    assert len(hooks.got) == 2


# Keepers that die, and keepers beside each other


KEEPER = """
import asyncio
from db.queue import JobQueue
from db.settings import StoreSettings
from deployments.keeping.house import House
from deployments.keeping.webhooks import deliver_webhooks
from deployments.stores import Stores

async def main():
    await deliver_webhooks(House(Stores.open(StoreSettings()), {}))

asyncio.run(main())
"""


async def test_an_event_whose_keeper_was_killed_before_it_confirmed_is_sent_again(
    house: House,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    store_environment: dict[str, str],
) -> None:
    hooks.pause_s["/hook"] = 60.0
    await canceled(sessions, user_id, hooks.url)
    environment = {**os.environ, **store_environment, "ATELIER_FETCH_PRIVATE": "1"}
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER], cwd=ROOT, env=environment)
    try:
        await asyncio.to_thread(hooks.wait, 1, 60)
    finally:
        keeper.send_signal(signal.SIGKILL)
        keeper.wait()
    hooks.pause_s.clear()
    found = await row(sessions)
    assert (found.attempts, found.done_at) == (1, None)
    assert await deliver_webhooks(house) == 0, "its lease still runs"
    await make_due(sessions)
    assert await deliver_webhooks(house) == 1
    first, second = hooks.got
    assert first.id == second.id and first.body == second.body
    assert await undelivered(sessions, outbox.WEBHOOK) == []


async def test_who_lost_the_lease_changes_nothing(
    house: House,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A keeper that slept through its lease finds a failure; another one has sent it meanwhile, or
    is just at it."""
    hooks.status["/hook"], hooks.pause_s["/hook"] = 410, 1.5
    await canceled(sessions, user_id, hooks.url)
    sleepy = asyncio.create_task(deliver_webhooks(house))
    await asyncio.to_thread(hooks.wait, 1)
    later = datetime.now(UTC) + timedelta(minutes=1)
    async with sessions.begin() as session:
        await session.execute(update(Outbox).values(attempts=2, available_at=later))
    assert await sleepy == 0
    found = await row(sessions)
    assert (found.done_at, found.error, found.available_at) == (None, None, later)


async def test_keepers_side_by_side_send_each_event_once(
    house: House, sessions: Sessions, hooks: Receiver
) -> None:
    for _ in range(8):
        one = await new_user(sessions)
        for _ in range(5):
            await canceled(sessions, one, hooks.url)
    delivered = await asyncio.gather(*(deliver_webhooks(house) for _ in range(3)))
    assert sum(delivered) == 40
    assert len({one.id for one in hooks.got}) == len(hooks.got) == 40


async def test_what_is_under_way_is_finished_when_postgres_goes_away(
    house: House, user_id: str, sessions: Sessions, hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off, it would be sent twice."""
    hooks.pause_s["/hook"] = 1.5
    await canceled(sessions, user_id, hooks.url)
    taken = webhooks._take
    rounds = 0

    async def take_once(*given: Any) -> Any:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            raise ConnectionError("Postgres is away")
        return await taken(*given)

    monkeypatch.setattr(webhooks, "_take", take_once)
    with pytest.raises(ConnectionError):
        await deliver_webhooks(house)
    assert await undelivered(sessions, outbox.WEBHOOK) == [] and len(hooks.got) == 1
