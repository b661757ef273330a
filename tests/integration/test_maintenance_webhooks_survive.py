"""Webhooks reach their receivers, whatever dies, drags or refuses. Real stores and receivers."""

import asyncio
import dataclasses
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import update

import deployments.messaging.webhooks
from db.embedded.state import free_port
from db.object_store import ObjectStore
from db.outbox import rows as outbox
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Outbox
from deployments.maintenance import deliver_webhooks as webhooks
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import (
    MAX_CONCURRENT,
    MAX_CONCURRENT_PER_USER,
    POLL_INTERVAL_S,
    deliver_webhooks,
)
from deployments.settings import SharedSettings
from tests.support.jobs import new_user, read, undelivered
from tests.support.receiver import Receiver, receiver
from tests.support.webhooks import (
    again_in,
    canceled,
    make_due,
    open_transactions,
    row,
    sending,
)

ROOT = Path(__file__).parents[2]
LONG_S = 600.0


@pytest.fixture
async def maintenance(
    sessions: Sessions,
    redis: Redis,
    objects: ObjectStore,
    store_settings: StoreSettings,
    redis_url: str,
) -> AsyncIterator[MaintenanceContext]:
    async with sending(store_settings, redis_url) as maintenance:
        yield maintenance


@pytest.fixture
async def user_id(sessions: Sessions) -> str:
    return await new_user(sessions, credits=1000)


# Receivers that are away, slow or unwilling


async def test_a_receiver_that_was_down_gets_it_once_it_is_up(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions
) -> None:
    port = free_port()
    await canceled(sessions, user_id, f"http://127.0.0.1:{port}/hook")
    assert await deliver_webhooks(maintenance) == 0
    found = await row(sessions)
    assert (found.attempts, found.done_at) == (1, None)
    assert found.error is not None and "could not be reached" in found.error
    assert timedelta() < await again_in(sessions) <= timedelta(seconds=5)
    with receiver(port) as hooks:
        assert await deliver_webhooks(maintenance) == 0 and hooks.got == [], "not yet"
        hooks.status["/hook"] = 503
        await make_due(sessions)
        assert await deliver_webhooks(maintenance) == 0
        assert timedelta(seconds=5) < await again_in(sessions) <= timedelta(seconds=30)
        hooks.status["/hook"] = 200
        await make_due(sessions)
        assert await deliver_webhooks(maintenance) == 1
        refused, taken = hooks.got
    assert refused.id == taken.id and refused.body == taken.body
    found = await row(sessions)
    assert found.done_at is not None and found.error is None


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver and a round may take as long as they like."""
    monkeypatch.setattr(deployments.messaging.webhooks, "SEND_TIMEOUT_S", LONG_S)
    monkeypatch.setattr(webhooks, "ROUND_SECONDS", LONG_S)


async def test_slow_receivers_hold_up_nobody_else_and_no_transaction(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    patient: None,
) -> None:
    slow_url = hooks.url.replace("/hook", "/slow")
    hooks.pause_s["/slow"] = LONG_S
    for _ in range(3 * MAX_CONCURRENT_PER_USER):
        await canceled(sessions, user_id, slow_url)
    other = await new_user(sessions)
    for _ in range(6):
        await canceled(sessions, other, hooks.url)
    delivering = asyncio.create_task(deliver_webhooks(maintenance))
    await asyncio.to_thread(hooks.wait, 6)
    late = await canceled(sessions, other, hooks.url)
    await asyncio.to_thread(hooks.wait, 7)
    assert hooks.got[-1].event["data"]["id"] == late
    assert len(hooks.of("/slow")) == MAX_CONCURRENT_PER_USER
    await asyncio.sleep(1)
    assert await open_transactions(sessions) == 0
    assert not delivering.done(), "it waits for the slow one"
    hooks.release()
    assert await delivering == 3 * MAX_CONCURRENT_PER_USER + 7


async def test_one_round_sends_no_more_at_once_than_it_may(
    maintenance: MaintenanceContext, sessions: Sessions, hooks: Receiver, patient: None
) -> None:
    hooks.pause_s["/hook"] = LONG_S
    for _ in range(MAX_CONCURRENT // MAX_CONCURRENT_PER_USER + 1):
        one = await new_user(sessions)
        for _ in range(MAX_CONCURRENT_PER_USER + 1):
            await canceled(sessions, one, hooks.url)
    delivering = asyncio.create_task(deliver_webhooks(maintenance))
    await asyncio.to_thread(hooks.wait, MAX_CONCURRENT)
    await asyncio.sleep(1.5 * POLL_INTERVAL_S)
    assert len(hooks.got) == MAX_CONCURRENT
    users = {(await read(sessions, one.event["data"]["id"])).user_id for one in hooks.got}
    assert len(users) == MAX_CONCURRENT // MAX_CONCURRENT_PER_USER + 1, "everybody has a first one"
    hooks.release()
    await delivering


async def test_a_receiver_that_takes_too_long_is_asked_again_later(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deployments.messaging.webhooks.SEND_TIMEOUT_S", 0.3)
    hooks.pause_s["/hook"] = 5.0
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(maintenance) == 0
    found = await row(sessions)
    assert (found.error, found.done_at) == ("it took longer than 0.3 seconds", None)


async def test_a_receiver_that_is_gone_is_asked_no_more(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    hooks.status["/hook"] = 410
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(maintenance) == 0
    found = await row(sessions)
    assert (found.error, found.done_at is None) == ("the server answered 410", False)
    await make_due(sessions)
    await deliver_webhooks(maintenance)
    assert len(hooks.got) == 1


async def test_a_redirect_is_a_failure_and_nobody_follows_it(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    hooks.status["/hook"] = 307
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(maintenance) == 0
    assert [one.path for one in hooks.got] == ["/hook"]
    assert (await row(sessions)).error == "the server answered 307"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254"])
async def test_nothing_is_sent_to_an_address_that_is_not_public(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver, host: str
) -> None:
    strict = dataclasses.replace(maintenance, shared=SharedSettings(ATELIER_FETCH_PRIVATE=False))
    await canceled(sessions, user_id, hooks.url.replace("127.0.0.1", host))
    assert await deliver_webhooks(strict) == 0
    assert hooks.got == []
    found = await row(sessions)
    assert (found.error, found.done_at) == ("only public addresses are allowed", None)


@pytest.mark.parametrize(
    ("attempts", "delay"), [(0, 5), (1, 30), (2, 120), (3, 600), (4, 1800), (5, 3600), (40, 7200)]
)
async def test_it_is_tried_later_and_later(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    attempts: int,
    delay: int,
) -> None:
    hooks.status["/hook"] = 500
    await canceled(sessions, user_id, hooks.url)
    await make_due(sessions, attempts=attempts)
    await deliver_webhooks(maintenance)
    assert timedelta(seconds=delay - 3) < await again_in(sessions) <= timedelta(seconds=delay)


async def test_it_is_given_up_a_day_after_it_happened(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    hooks.status["/hook"] = 500
    await canceled(sessions, user_id, hooks.url)
    day = timedelta(hours=24)
    young = datetime.now(UTC) - day + timedelta(minutes=125)
    await make_due(sessions, attempts=20, created_at=young)
    await deliver_webhooks(maintenance)
    assert (await row(sessions)).done_at is None
    await make_due(sessions, created_at=young - timedelta(minutes=10))
    await deliver_webhooks(maintenance)
    found = await row(sessions)
    assert (found.error, found.done_at is None) == ("the server answered 500", False)
    await deliver_webhooks(maintenance)
    assert len(hooks.got) == 2


# Keepers that die, and keepers beside each other


SENDER = """
import asyncio
from db.redis.queue import JobQueue
from db.settings import StoreSettings
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.stores import Stores

async def main():
    await deliver_webhooks(MaintenanceContext(Stores.open(StoreSettings()), {}))

asyncio.run(main())
"""


async def test_an_event_whose_sender_was_killed_before_it_confirmed_is_sent_again(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    store_environment: dict[str, str],
) -> None:
    hooks.pause_s["/hook"] = LONG_S
    await canceled(sessions, user_id, hooks.url)
    environment = {**os.environ, **store_environment, "ATELIER_FETCH_PRIVATE": "1"}
    sender = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENDER, cwd=ROOT, env=environment
    )
    try:
        await asyncio.to_thread(hooks.wait, 1, 240)
    finally:
        sender.kill()
        await sender.wait()
    hooks.pause_s.clear()
    found = await row(sessions)
    assert (found.attempts, found.done_at) == (1, None)
    assert await deliver_webhooks(maintenance) == 0, "its lease still runs"
    await make_due(sessions)
    assert await deliver_webhooks(maintenance) == 1
    first, second = hooks.got
    assert first.id == second.id and first.body == second.body
    assert await undelivered(sessions, outbox.WEBHOOK) == []


async def test_who_lost_the_lease_changes_nothing(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    patient: None,
) -> None:
    """A sender that slept through its lease finds a failure; another one has sent it meanwhile, or
    is just at it."""
    hooks.status["/hook"], hooks.pause_s["/hook"] = 410, LONG_S
    await canceled(sessions, user_id, hooks.url)
    sleepy = asyncio.create_task(deliver_webhooks(maintenance))
    await asyncio.to_thread(hooks.wait, 1)
    later = datetime.now(UTC) + timedelta(minutes=1)
    async with sessions.begin() as session:
        await session.execute(update(Outbox).values(attempts=2, available_at=later))
    hooks.release()
    assert await sleepy == 0
    found = await row(sessions)
    assert (found.done_at, found.error, found.available_at) == (None, None, later)


async def test_maintenance_loops_side_by_side_send_each_event_once(
    maintenance: MaintenanceContext,
    sessions: Sessions,
    hooks: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "MAX_CONCURRENT", 3)  # so that they come to it many times
    for _ in range(4):
        one = await new_user(sessions)
        for _ in range(10):
            await canceled(sessions, one, hooks.url)

    async def keep() -> int:
        delivered = 0
        while await undelivered(sessions, outbox.WEBHOOK):
            delivered += await deliver_webhooks(maintenance)
        return delivered

    shares = await asyncio.gather(*(keep() for _ in range(4)))
    assert sum(shares) == 40 and sorted(shares)[-2] > 0, shares
    assert len({one.id for one in hooks.got}) == len(hooks.got) == 40


async def test_what_is_under_way_is_finished_when_postgres_goes_away(
    maintenance: MaintenanceContext,
    user_id: str,
    sessions: Sessions,
    hooks: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut off, it would be sent twice."""
    hooks.pause_s["/hook"] = 1.5
    await canceled(sessions, user_id, hooks.url)
    taken = webhooks._lease_due
    rounds = 0

    async def take_once(*given: Any) -> Any:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            raise ConnectionError("Postgres is away")
        return await taken(*given)

    monkeypatch.setattr(webhooks, "_lease_due", take_once)
    with pytest.raises(ConnectionError):
        await deliver_webhooks(maintenance)
    assert await undelivered(sessions, outbox.WEBHOOK) == [] and len(hooks.got) == 1
