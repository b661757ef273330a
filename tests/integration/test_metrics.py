"""What is counted and measured, when. Real stores, a recorder in place of Ray."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, text, update

from billing import ledger
from billing.settlement import Settlement, settle
from db.after_commit import after_commit
from db.errors import StoreUnavailable
from db.outbox import mails
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Job, Outbox, StripeEvent, User
from deployments.maintenance.check_ledger import check_ledger, compare_with_stripe
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.maintenance.deployment import MaintenanceLoop, MaintenanceTask
from deployments.maintenance.measure import measure, probe_stores
from deployments.settings import SharedSettings
from metrics import catalog
from tests.support.jobs import claim, read, submit
from tests.support.maintenance import nobody_there, without_redis
from tests.support.payments import Shop
from tests.support.receiver import Receiver
from tests.support.recorder import Recorder
from tests.support.scribe import SPEC
from tests.support.waiting import until

NAME = SPEC.name


# After the commit


async def test_what_is_rolled_back_is_not_counted(sessions: Sessions) -> None:
    called: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with sessions.begin() as session:
            await session.execute(text("SELECT 1"))
            after_commit(session, lambda: called.append("lost"))
            1 / 0  # noqa: B018
    async with sessions.begin() as session:
        await session.execute(text("SELECT 1"))
        after_commit(session, lambda: called.append("kept"))
        assert called == []
    assert called == ["kept"]


async def test_what_fails_after_the_commit_is_not_the_callers(sessions: Sessions) -> None:
    called: list[str] = []
    async with sessions.begin() as session:
        await session.execute(text("SELECT 1"))
        after_commit(session, lambda: called.append(str(1 / 0)))
        after_commit(session, lambda: called.append("the next"))
    assert called == ["the next"]


async def test_savepoints_neither_count_nor_forget(sessions: Sessions) -> None:
    called: list[str] = []
    async with sessions.begin() as session:
        await session.execute(text("SELECT 1"))
        after_commit(session, lambda: called.append("once"))
        async with session.begin_nested():
            await session.execute(text("SELECT 1"))
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested():
                await session.execute(text("SELECT 1"))
                1 / 0  # noqa: B018
        assert called == []
    assert called == ["once"]


async def test_a_session_that_is_used_again_calls_each_once(sessions: Sessions) -> None:
    called: list[int] = []
    async with sessions() as session:
        for number in range(3):
            await session.execute(text("SELECT 1"))
            after_commit(session, lambda number=number: called.append(number))
            await session.commit()
    assert called == [0, 1, 2]


# Jobs and credits


async def test_a_job_is_counted_when_it_ends_and_once(
    sessions: Sessions, user_id: str, shown: Recorder
) -> None:
    job = await claim(sessions, await submit(sessions, SPEC, user_id, text="x"), 1)
    assert shown.value(catalog.CREDITS, movement="hold") == job.credits_quoted
    for _ in range(2):
        async with sessions.begin() as session:
            await settle(session, job, Settlement("succeeded", charged_fraction=1.0))
    succeeded = {"generator": NAME, "outcome": "succeeded"}
    assert shown.value(catalog.JOBS_ENDED, **succeeded, fault="none") == 1
    assert shown.value(catalog.CREDITS, movement="capture") == job.credits_quoted
    assert shown.value(catalog.CREDITS, movement="release") == 0
    ended = await read(sessions, job.id)
    assert ended.started_at is not None and ended.finished_at is not None
    (wait_s,) = shown.seconds(catalog.JOB_WAIT, generator=NAME, priority="normal")
    (run_s,) = shown.seconds(catalog.JOB_RUN, **succeeded)
    (total_s,) = shown.seconds(catalog.JOB_TOTAL, **succeeded)
    assert wait_s == (ended.started_at - ended.created_at).total_seconds()
    assert total_s == pytest.approx(wait_s + run_s)


@pytest.mark.parametrize(
    ("code", "fault"), [("worker_lost", "service"), ("no_face", "input"), ("bad_input", "input")]
)
async def test_a_failure_says_whose_it_was(
    sessions: Sessions, user_id: str, shown: Recorder, code: str, fault: str
) -> None:
    job = await claim(sessions, await submit(sessions, SPEC, user_id, text="x"), 1)
    async with sessions.begin() as session:
        await settle(session, job, Settlement("failed", error={"code": code}))
    failed = {"generator": NAME, "outcome": "failed", "fault": fault}
    assert shown.value(catalog.JOBS_ENDED, **failed) == 1
    assert shown.value(catalog.CREDITS, movement="release") == job.credits_quoted


async def test_a_job_that_never_ran_has_no_wait(
    sessions: Sessions, user_id: str, shown: Recorder
) -> None:
    job = await read(sessions, await submit(sessions, SPEC, user_id, text="x"))
    async with sessions.begin() as session:
        await settle(session, job, Settlement("canceled"))
    assert shown.seconds(catalog.JOB_TOTAL, generator=NAME, outcome="canceled") != []
    assert {name for name, _ in shown.observed} == {catalog.JOB_TOTAL.name}


async def test_credits_of_a_batch_are_counted(
    sessions: Sessions, user_id: str, shown: Recorder
) -> None:
    async with sessions.begin() as session:
        await ledger.grant(session, user_id, 7, "test:more", "test")
        await ledger.grant(session, user_id, 7, "test:more", "test")
    assert shown.value(catalog.CREDITS, movement="grant") == 7, "a second time changes nothing"


# What maintenance reads


async def test_what_waits_is_measured(
    maintenance: MaintenanceContext, sessions: Sessions, user_id: str, shown: Recorder
) -> None:
    assert await measure(maintenance) == 0
    assert shown.value(catalog.OLDEST_WAITING, generator=NAME) == 0
    assert (catalog.OLDEST_WAITING.name, (("generator", NAME),)) in shown.values
    old, deferred, running = [
        await submit(sessions, SPEC, user_id, text=f"job {n}") for n in range(3)
    ]
    await claim(sessions, running, 1)
    async with sessions.begin() as session:
        past = text("now() - interval '1 hour'")
        await session.execute(update(Job).where(Job.id == old).values(created_at=past))
        values = {"created_at": text("now() - interval '2 hours'"), "deferred_at": past}
        await session.execute(update(Job).where(Job.id == deferred).values(**values))
        await mails.write(session, mails.RESET, "ada@example.com")
        due = {"available_at": text("now() - interval '5 minutes'"), "created_at": past}
        await session.execute(update(Outbox).where(Outbox.topic == "mail").values(**due))
    assert await measure(maintenance) == 1
    by_generator = {"generator": NAME}
    assert 3600 <= shown.value(catalog.OLDEST_WAITING, **by_generator) < 7200
    assert shown.value(catalog.JOBS_WAITING, **by_generator) == 1
    assert shown.value(catalog.JOBS_DEFERRED, **by_generator) == 1
    assert shown.value(catalog.JOBS_RUNNING, **by_generator) == 1
    held = sum([(await read(sessions, job_id)).credits_held for job_id in (old, deferred, running)])
    assert shown.value(catalog.CREDITS_HELD) == held > 0
    assert shown.value(catalog.STUCK_HOLDS) == 0
    assert shown.value(catalog.OUTBOX_WAITING, topic="mail") == 1
    assert shown.value(catalog.OUTBOX_WAITING, topic="webhook") == 0
    assert 3600 <= shown.value(catalog.OUTBOX_OLDEST, topic="mail") < 7200
    assert 300 <= shown.value(catalog.OUTBOX_LATE, topic="mail") < 3600
    assert shown.value(catalog.MEASURED) > 0


async def test_jobs_that_should_have_ended_are_stuck(
    maintenance: MaintenanceContext, sessions: Sessions, user_id: str, shown: Recorder
) -> None:
    silent, waiting = [await submit(sessions, SPEC, user_id, text=f"job {n}") for n in range(2)]
    await claim(sessions, silent, 1)
    async with sessions.begin() as session:
        values = {"heartbeat_at": text("now() - interval '11 minutes'")}
        await session.execute(update(Job).where(Job.id == silent).values(**values))
        values = {"created_at": text("now() - interval '74 hours'")}
        await session.execute(update(Job).where(Job.id == waiting).values(**values))
    await measure(maintenance)
    assert shown.value(catalog.STUCK_HOLDS) == 2


async def test_stores_and_disks_are_probed(
    maintenance: MaintenanceContext, shown: Recorder, tmp_path: Path
) -> None:
    shared = SharedSettings(data_dir=tmp_path)
    assert await probe_stores(replace(maintenance, shared=shared)) == 4
    for store in ("postgres", "redis", "objects", "documents"):
        assert shown.value(catalog.STORE_UP, store=store) == 1
        assert len(shown.seconds(catalog.STORE_SECONDS, store=store)) == 1
        errors = catalog.STORE_ERRORS.name, (("store", store),)
        assert shown.values[errors] == 0, "it begins at zero, so that the first is an increase"
    for folder in ("data", "work"):
        free = shown.value(catalog.DISK_FREE, folder=folder)
        assert 0 < free < shown.value(catalog.DISK_SIZE, folder=folder)


async def test_a_store_that_is_away_is_told_from_the_others(
    maintenance: MaintenanceContext, shown: Recorder
) -> None:
    async with without_redis(maintenance) as without:
        assert await probe_stores(without) == 3
    assert shown.value(catalog.STORE_UP, store="redis") == 0
    assert shown.value(catalog.STORE_ERRORS, store="redis") == 1
    assert shown.seconds(catalog.STORE_SECONDS, store="redis") == []
    assert shown.value(catalog.STORE_UP, store="postgres") == 1


async def test_a_ledger_that_does_not_add_up_is_shown(
    maintenance: MaintenanceContext, sessions: Sessions, user_id: str, shown: Recorder
) -> None:
    await submit(sessions, SPEC, user_id, text="x")
    assert await check_ledger(maintenance) == 0
    assert shown.value(catalog.LEDGER_FINDINGS, check="balance_differs") == 0
    assert (catalog.LEDGER_FINDINGS.name, (("check", "lot_differs"),)) in shown.values
    async with sessions.begin() as session:
        await session.execute(
            update(User).where(User.id == user_id).values(balance=User.balance + 5)
        )
    assert await check_ledger(maintenance) == 1
    assert shown.value(catalog.LEDGER_FINDINGS, check="balance_differs") == 1
    assert shown.value(catalog.LEDGER_FINDINGS, check="held_differs") == 0
    assert shown.value(catalog.LEDGER_CHECKED) > 0


async def test_what_stripe_and_the_ledger_do_not_agree_on_is_shown(
    maintenance: MaintenanceContext, sessions: Sessions, open_shop: Shop, shown: Recorder
) -> None:
    assert await compare_with_stripe(maintenance) == 0, "nothing is sold"
    assert (catalog.STRIPE_UNMATCHED.name, ()) not in shown.values
    with_stripe = replace(maintenance, stripe=open_shop.gateway)
    person = await open_shop.world.guest()
    await open_shop.buy(person, pack="small")
    await open_shop.told()
    assert await compare_with_stripe(with_stripe) == 1
    await measure(with_stripe)
    assert shown.value(catalog.STRIPE_UNMATCHED) == 1
    assert shown.value(catalog.STRIPE_WAITING) > 0
    await open_shop.work_off()
    assert await compare_with_stripe(with_stripe) == 0
    await measure(with_stripe)
    assert shown.value(catalog.STRIPE_UNMATCHED) == 0
    assert (shown.value(catalog.STRIPE_WAITING), shown.value(catalog.STRIPE_LAG)) == (0, 0)
    async with sessions.begin() as session:
        given_up = {"outcome": "failed", "processed_at": text("now()")}
        one = select(StripeEvent.id).limit(1).scalar_subquery()
        await session.execute(update(StripeEvent).where(StripeEvent.id == one).values(**given_up))
    assert await compare_with_stripe(with_stripe) == 1


# The rounds of maintenance


async def test_rounds_are_counted_by_how_they_end(
    store_settings: StoreSettings, redis: Redis, shown: Recorder
) -> None:
    async def done(context: MaintenanceContext) -> int:
        return 0

    async def waits(context: MaintenanceContext) -> int:
        raise StoreUnavailable("redis")

    async def fails(context: MaintenanceContext) -> int:
        raise ZeroDivisionError

    async def nothing_crashed(replica: str) -> bool:
        return False

    tasks = [
        MaintenanceTask(name, task, 0.01)
        for name, task in (("relay", done), ("measure", waits), ("expire", fails))
    ]
    loop = MaintenanceLoop(store_settings, [], nothing_crashed, tasks)

    async def all_counted() -> bool:
        ends = (("relay", "done"), ("measure", "waited"), ("expire", "failed"))
        counts = [shown.value(catalog.TASK_ROUNDS, task=t, round=end) for t, end in ends]
        return min(counts) >= 2

    try:
        await until(all_counted)
    finally:
        await loop.close()
    rounds = {
        labels: count
        for (name, labels), count in shown.values.items()
        if name == catalog.TASK_ROUNDS.name
    }
    assert {labels for labels, count in rounds.items() if count} == {
        (("round", "done"), ("task", "relay")),
        (("round", "waited"), ("task", "measure")),
        (("round", "failed"), ("task", "expire")),
    }
    assert len(rounds) == 9, "what did not happen is counted as zero"


# Deliveries


async def test_attempts_to_deliver_are_counted_and_the_first_is_timed(
    maintenance: MaintenanceContext,
    sessions: Sessions,
    user_id: str,
    hooks: Receiver,
    shown: Recorder,
) -> None:
    with nobody_there() as address:
        url = f"http://{address}/"
        await claim(sessions, await submit(sessions, SPEC, user_id, webhook_url=url, text="x"), 1)
        private = replace(maintenance, shared=SharedSettings(fetch_private=True))
        await deliver_webhooks(private)
        webhook = {"topic": "webhook"}
        assert shown.value(catalog.DELIVERIES, **webhook, delivery="postponed") == 1
        assert len(shown.seconds(catalog.DELIVERY_DELAY, **webhook)) == 1
        await age_outbox(sessions, timedelta(hours=25))
        await deliver_webhooks(private)
    assert shown.value(catalog.DELIVERIES, **webhook, delivery="given_up") == 1
    await claim(sessions, await submit(sessions, SPEC, user_id, webhook_url=hooks.url, text="y"), 1)
    await deliver_webhooks(private)
    assert shown.value(catalog.DELIVERIES, **webhook, delivery="delivered") == 1
    assert len(shown.seconds(catalog.DELIVERY_DELAY, **webhook)) == 2, "only of first attempts"


async def age_outbox(sessions: Sessions, by: timedelta) -> None:
    """Make every row older, and due."""
    async with sessions.begin() as session:
        values = {"created_at": Outbox.created_at - by, "available_at": Outbox.available_at - by}
        await session.execute(update(Outbox).values(**values))
