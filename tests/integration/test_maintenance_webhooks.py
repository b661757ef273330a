"""What webhooks say, when, and how it is signed. Real stores, real receivers."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import delete, update

from billing import job_policy
from billing.settlement import Settlement, settle
from db.jobs import transitions
from db.object_store import ObjectStore, output_key
from db.outbox import rows as outbox
from db.outbox import webhook_secrets
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Job, Outbox
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.maintenance.relay_outbox import relay_outbox
from tests.support.jobs import claim, new_user, read, submit, undelivered
from tests.support.receiver import Receiver, verifies
from tests.support.scribe import SPEC
from tests.support.webhooks import canceled, end, make_due, row, rows, secret_of, sending


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


# What is told


async def test_a_job_tells_when_it_starts_and_how_it_ends(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    assert await rows(sessions) == []
    job = await claim(sessions, job_id, 1)
    assert await deliver_webhooks(maintenance) == 1
    output = {
        "name": "page-0.txt", "kind": "text", "content_type": "text/plain", "bytes": 5,
        "width": None, "height": None, "duration_s": None, "sha256": "s",
        "object_key": output_key(user_id, job_id, 1, "page-0.txt"),
    }  # fmt: skip
    ended = await end(sessions, job, "succeeded", charged_fraction=1.0, outputs=[output])
    assert await deliver_webhooks(maintenance) == 1
    assert await deliver_webhooks(maintenance) == 0
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
    assert (data["cost"]["estimated"], data["cost"]["charged"]) == (3, 3)
    assert ended.finished_at == datetime.fromisoformat(data["finished_at"])
    assert succeeded.event["timestamp"] == data["finished_at"]
    (shown,) = data["outputs"]
    assert "object_key" not in shown and "/page-0.txt" not in shown.pop("url").partition("?")[2]
    assert shown.pop("expires_at") and shown == {n: output[n] for n in output if n in shown}
    assert await undelivered(sessions, outbox.WEBHOOK) == []


async def test_what_a_job_was_at_its_start_is_told_also_once_it_has_ended(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    job = await claim(sessions, job_id, 1)
    await end(sessions, job, "failed", error={"code": "c", "title": "t", "detail": "d"})
    assert await deliver_webhooks(maintenance) == 2
    told = {one.event["type"]: one.event["data"] for one in hooks.got}
    assert told["job.started"]["status"] == "running"
    for name in ("error", "finished_at"):
        assert told["job.started"][name] is None and told["job.failed"][name] is not None


async def test_only_the_first_attempt_is_a_start_and_no_webhook_is_no_event(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    plain = await submit(sessions, SPEC, user_id, text="x")
    await end(sessions, await claim(sessions, plain, 1), "failed")
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    for attempt in (1, 2):
        await claim(sessions, job_id, attempt)
        async with sessions.begin() as session:
            gone = datetime.now(UTC) - 2 * job_policy.LEASE
            await session.execute(update(Job).values(heartbeat_at=gone))
            assert (
                await transitions.requeue_lost(
                    session,
                    job_id,
                    attempt,
                    lease=job_policy.LEASE,
                    max_losses=job_policy.MAX_LOSSES,
                )
                is not None
            )
        assert await deliver_webhooks(maintenance) == int(attempt == 1)
        async with sessions.begin() as session:  # as the sweep does later: no row forbids another
            await session.execute(delete(Outbox).where(Outbox.topic == outbox.WEBHOOK))
    assert hooks.types() == ["job.started"]


async def test_what_was_rolled_back_is_not_told(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="x")
    job = await read(sessions, job_id)
    with pytest.raises(ConnectionResetError):
        async with sessions.begin() as session:
            assert await settle(session, job, Settlement("canceled")) is not None
            raise ConnectionResetError("the process dies here")
    async with sessions.begin() as session:
        assert await transitions.claim(session, job_id, 1) is not None
        await session.rollback()
    assert (await read(sessions, job_id)).status == "queued"
    assert await rows(sessions) == []
    assert await deliver_webhooks(maintenance) == 0 and hooks.got == []


async def test_an_erased_job_is_told_of_no_more(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    job_id = await canceled(sessions, user_id, hooks.url)
    async with sessions.begin() as session:
        assert await transitions.erase(session, job_id, user_id)
    assert await deliver_webhooks(maintenance) == 0
    assert hooks.got == [] and (await row(sessions)).done_at is not None
    assert (await read(sessions, job_id)).webhook_url is None


async def test_the_relay_and_the_webhooks_leave_each_others_rows_alone(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    await canceled(sessions, user_id, hooks.url)
    await make_due(sessions)
    assert await relay_outbox(maintenance) == 2  # what the submit and the settlement wrote
    assert hooks.got == [] and (await row(sessions)).attempts == 0
    await canceled(sessions, user_id, hooks.url)
    await make_due(sessions)
    assert await deliver_webhooks(maintenance) == 2
    assert len(await undelivered(sessions, outbox.ENQUEUE)) == 1


# Signatures


async def test_for_a_day_after_it_was_rolled_the_old_secret_signs_beside_the_new_one(
    maintenance: MaintenanceContext, user_id: str, sessions: Sessions, hooks: Receiver
) -> None:
    first = await secret_of(sessions, user_id)
    async with sessions.begin() as session:
        second = (await webhook_secrets.rotate(session, user_id)).secret
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(maintenance) == 1
    assert verifies(hooks.got[0], first) and verifies(hooks.got[0], second)
    assert len(hooks.got[0].headers["webhook-signature"].split()) == 2
    async with sessions.begin() as session:
        known = (await webhook_secrets.ensure(session, [user_id]))[user_id]
        assert known.previous_until is not None
        left = known.previous_until - datetime.now(UTC)
        assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
        known.previous_until = datetime.now(UTC) - timedelta(seconds=1)
    await canceled(sessions, user_id, hooks.url)
    assert await deliver_webhooks(maintenance) == 1
    assert verifies(hooks.got[1], second) and not verifies(hooks.got[1], first)
