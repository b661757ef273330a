"""A replica that must go gives its jobs back: at once, with what they kept, at no cost to them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from billing.job_policy import MAX_DRAIN_REQUEUES
from billing.settlement import Settlement
from db.jobs import transitions
from db.jobs.transitions import requeue_drained
from db.object_store import ObjectStore, StoredObject
from db.outbox import rows as outbox
from db.redis.queue import JobQueue
from db.session import Sessions
from db.settings import StoreSettings
from deployments.contract import Artifact, Context, Stopped
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.expire_jobs import expire_jobs
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from deployments.settings import SharedSettings
from deployments.stores import Stores
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext
from deployments.worker.drain_signal import DrainSignal
from deployments.worker.host import REQUEUE_MARGIN_S, GeneratorHost
from deployments.worker.outputs import upload_outputs
from deployments.worker.requeue_on_drain import requeue_drained_job
from deployments.worker.runner import LoadedGenerator, run_job
from deployments.worker.settle import settle_attempt
from tests.support.held_scribe import HeldScribe
from tests.support.jobs import claim, money, read, silence, submit, undelivered
from tests.support.maintenance import age, change, push, recorded, statuses, without_redis
from tests.support.scribe import SPEC, Scribe, ScribeRequest
from tests.support.stores import events
from tests.support.waiting import until


async def hand_back(
    stores: Stores,
    loaded: LoadedGenerator,
    job_id: str,
    attempt: int,
    held: HeldScribe | None = None,
) -> None:
    """Run an attempt on another replica until it is held, then ask for it back."""
    held = held or HeldScribe()
    leaving = dataclasses.replace(loaded, generator=held, drain_signal=DrainSignal())
    running = asyncio.create_task(run_job(stores, leaving, job_id, attempt))

    async def is_there() -> bool:
        made = await stores.objects.list(f"temp/{job_id}/kept-")
        return held.calls.total() > 0 and len(made) >= held.pages

    await until(is_there)
    leaving.drain_signal.trigger()
    assert await running is None


# A replica that is told to go


@pytest.fixture
async def host(
    maintenance: MaintenanceContext, store_settings: StoreSettings
) -> AsyncIterator[GeneratorHost]:
    host = GeneratorHost(SPEC, store_settings)
    await host.start(SharedSettings(), "the first")
    yield host
    await host.drain()


async def test_a_job_longer_than_the_deadline_is_queued_again_and_gone_on_with(
    maintenance: MaintenanceContext,
    host: GeneratorHost,
    loaded: LoadedGenerator,
    user_id: str,
    sessions: Sessions,
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="long", pages=12, page_s=1.0, keep=True)
    await push(maintenance, job_id)

    async def three_are_kept() -> bool:
        return len(await maintenance.stores.objects.list(f"temp/{job_id}/kept-")) >= 3

    await until(three_are_kept)
    await host.drain(within=REQUEUE_MARGIN_S)
    row = await read(sessions, job_id)
    assert (row.status, row.attempt, row.losses, row.progress) == ("queued", 1, 0, 0.0)
    assert (await events(maintenance.stores, job_id))[-1] == {
        "type": "status",
        "status": "queued",
        "attempt": 1,
    }
    assert await maintenance.queues[SPEC.name].contains([f"{job_id}-2"]), (
        "nobody needs to notice first"
    )
    assert f"{job_id}-2" not in await undelivered(sessions, outbox.ENQUEUE), "pushed, so confirmed"
    assert await money(sessions, user_id) == (64, 36), "it is still paid for"

    ended = await run_job(maintenance.stores, loaded, job_id, 2)
    assert ended is not None
    assert (ended.status, ended.attempt, ended.losses) == ("succeeded", 2, 0)
    document = await maintenance.stores.documents.get(job_id)
    assert document is not None
    assert {"page-0.txt", "page-1.txt", "page-2.txt"} <= set(document["notes"]["kept"])
    assert await money(sessions, user_id) == (64, 0)


async def test_a_job_that_ends_before_the_deadline_is_finished(
    maintenance: MaintenanceContext, host: GeneratorHost, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="short", pages=4, page_s=0.5)
    await push(maintenance, job_id)
    await until(lambda: has_begun(sessions, job_id))
    await host.drain(within=REQUEUE_MARGIN_S + 60)
    row = await read(sessions, job_id)
    assert (row.status, row.attempt) == ("succeeded", 1)


async def test_the_earliest_of_several_deadlines_counts(
    maintenance: MaintenanceContext, host: GeneratorHost, user_id: str, sessions: Sessions
) -> None:
    """Ray Serve gives a replica minutes; then its machine is given notice."""
    job_id = await submit(sessions, SPEC, user_id, text="long", pages=20, page_s=1.0)
    await push(maintenance, job_id)
    await until(lambda: has_begun(sessions, job_id))
    patient = asyncio.create_task(host.drain(within=180.0))
    await asyncio.sleep(0.5)
    assert (await read(sessions, job_id)).status == "running"
    host.start_drain(REQUEUE_MARGIN_S)
    host.start_drain(120.0)
    await asyncio.wait_for(patient, 90.0)
    assert (await read(sessions, job_id)).status == "queued"


async def test_a_draining_replica_takes_no_job(
    maintenance: MaintenanceContext, host: GeneratorHost, user_id: str, sessions: Sessions
) -> None:
    first = await submit(sessions, SPEC, user_id, text="first", pages=4, page_s=0.5)
    await push(maintenance, first)
    await until(lambda: has_begun(sessions, first))
    drained = host.start_drain(None)
    second = await submit(sessions, SPEC, user_id, text="second")
    await push(maintenance, second)
    await drained
    assert (await read(sessions, first)).status == "succeeded"
    assert (await read(sessions, second)).status == "queued"


async def has_begun(sessions: Sessions, job_id: str) -> bool:
    return (await read(sessions, job_id)).status != "queued"


@pytest.mark.parametrize(("losses", "together"), [(0, 2), (1, 1)])
async def test_a_job_runs_alone_after_a_loss_and_not_after_a_hand_back(
    maintenance: MaintenanceContext,
    store_settings: StoreSettings,
    user_id: str,
    losses: int,
    together: int,
) -> None:
    sessions = maintenance.stores.sessions
    host = GeneratorHost(dataclasses.replace(SPEC, concurrency=2), store_settings)
    job_ids = [
        await submit(sessions, SPEC, user_id, text="x", pages=10, page_s=0.5) for _ in range(2)
    ]
    await change(sessions, job_ids[1], attempt=1, losses=losses)
    await push(maintenance, job_ids[0])
    await push(maintenance, job_ids[1], attempt=2)
    await host.start(SharedSettings(), "the first")
    most = 0
    async with asyncio.timeout(120):
        while (now := await statuses(sessions, job_ids)) != ["succeeded"] * 2:
            most = max(most, now.count("running"))
            await asyncio.sleep(0.05)
    await host.drain()
    assert most == together


# The job


async def test_five_hand_backs_in_a_row_cost_a_job_nothing(
    maintenance: MaintenanceContext, stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", pages=7, keep=True)
    for attempt in range(1, 6):
        await hand_back(stores, loaded, job_id, attempt, HeldScribe(attempt))
        row = await read(stores.sessions, job_id)
        assert (row.status, row.attempt, row.losses) == ("queued", attempt, 0)
        assert await maintenance.queues[SPEC.name].contains([f"{job_id}-{attempt + 1}"])
    ended = await run_job(stores, loaded, job_id, 6)
    assert ended is not None
    assert (ended.status, ended.attempt, ended.losses) == ("succeeded", 6, 0)
    assert await money(stores.sessions, user_id) == (79, 0)
    assert await recorded(stores.sessions, job_id) == [
        f"outputs/{user_id}/{job_id}/6-page-{page}.txt" for page in range(7)
    ]


async def test_after_its_hand_backs_a_job_still_has_its_three_losses(
    maintenance: MaintenanceContext, stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    await hand_back(stores, loaded, job_id, 1)
    await hand_back(stores, loaded, job_id, 2)
    for attempt in (3, 4, 5):
        await claim(stores.sessions, job_id, attempt)
        await silence(stores.sessions, job_id)
        assert await recover_lost_jobs(maintenance) == 1
    row = await read(stores.sessions, job_id)
    assert row.error is not None
    assert (row.status, row.attempt, row.losses) == ("failed", 5, 3)
    assert (row.error["code"], "3 times" in row.error["detail"]) == ("worker_lost", True)


async def test_a_job_handed_back_too_often_is_run_to_its_end(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    await change(stores.sessions, job_id, attempt=MAX_DRAIN_REQUEUES - 1)
    await hand_back(stores, loaded, job_id, MAX_DRAIN_REQUEUES)
    loaded.drain_signal.trigger()
    ended = await run_job(stores, loaded, job_id, MAX_DRAIN_REQUEUES + 1)
    assert ended is not None
    assert (ended.status, ended.attempt) == ("succeeded", MAX_DRAIN_REQUEUES + 1)


async def test_the_row_itself_bounds_the_hand_backs(stores: Stores, user_id: str) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    await change(stores.sessions, job_id, attempt=MAX_DRAIN_REQUEUES + 2, losses=2)
    await claim(stores.sessions, job_id, MAX_DRAIN_REQUEUES + 3)
    async with stores.sessions.begin() as session:
        assert (
            await requeue_drained(
                session, job_id, MAX_DRAIN_REQUEUES + 3, max_requeues=MAX_DRAIN_REQUEUES
            )
            is None
        )


async def test_a_job_whose_cancel_was_asked_meanwhile_ends_as_canceled(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    """Only the row knows of the cancel yet: the replica hears of its own end first."""
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", pages=10, page_s=0.3)
    running = asyncio.create_task(run_job(stores, loaded, job_id, 1))
    await until(lambda: is_half_way(loaded))
    async with stores.sessions.begin() as session:
        await transitions.request_cancel(session, job_id)
    loaded.drain_signal.trigger()
    ended = await running
    assert ended is not None
    assert (ended.status, ended.attempt) == ("canceled", 1)
    assert await money(stores.sessions, user_id) == (100 - ended.credits_charged, 0)
    assert (await events(stores, job_id))[-1] == {"type": "done", "status": "canceled"}


async def is_half_way(loaded: LoadedGenerator) -> bool:
    assert isinstance(loaded.generator, Scribe)
    return loaded.generator.calls["x"] > 0


async def test_a_zombie_of_a_job_handed_back_can_neither_upload_over_nor_settle(
    stores: Stores, loaded: LoadedGenerator, user_id: str, tmp_path: Path
) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="mine")
    zombie = await claim(stores.sessions, job_id, 1)
    async with stores.sessions.begin() as session:
        assert (
            await requeue_drained(session, job_id, 1, max_requeues=MAX_DRAIN_REQUEUES) is not None
        )
    page = tmp_path / "page-0.txt"
    page.write_text("of a zombie")

    async def wake() -> None:
        context = RunContext(7, tmp_path)
        made = await upload_outputs(stores, zombie, context, [Artifact(page, "text", "text/plain")])
        for ending in (
            Settlement("succeeded", 1.0, made),
            Settlement("failed"),
            Settlement("canceled", 1.0),
        ):
            with pytest.raises(AttemptLost):
                await settle_attempt(stores, zombie, context, ending)
        assert not any("/1-" in key for key in await recorded(stores.sessions, job_id))

    await wake()
    assert (await read(stores.sessions, job_id)).status == "queued"
    held = HeldScribe()
    second = dataclasses.replace(loaded, generator=held)
    running = asyncio.create_task(run_job(stores, second, job_id, 2))
    await until(lambda: has_begun(stores.sessions, job_id))
    await wake()
    with pytest.raises(AttemptLost):
        await requeue_drained_job(stores, zombie, RunContext(7, tmp_path))
    assert (await read(stores.sessions, job_id)).status == "running"
    held.released.set()
    ended = await running
    assert ended is not None
    await wake()
    assert (ended.status, ended.attempt) == ("succeeded", 2)
    (output,) = ended.outputs
    assert output["object_key"] == f"outputs/{user_id}/{job_id}/2-page-0.txt"
    await stores.objects.get_file(output["object_key"], tmp_path / "stored")
    assert (tmp_path / "stored").read_text() == "mine 7"
    assert await money(stores.sessions, user_id) == (97, 0)


class Sulking(HeldScribe):
    """Makes something else of having been stopped."""

    def generate(self, request: ScribeRequest, context: Context) -> list[Artifact]:
        try:
            return super().generate(request, context)
        except Stopped:
            raise RuntimeError("half a film is no film") from None


async def test_what_a_generator_raises_for_having_been_stopped_is_no_failure(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    await hand_back(stores, loaded, job_id, 1, Sulking())
    assert (await read(stores.sessions, job_id)).status == "queued"


class SlowBucket(ObjectStore):
    """Takes two seconds for every file."""

    begun = False

    async def put_file(self, key: str, path: Path, content_type: str) -> StoredObject:
        self.begun = True
        await asyncio.sleep(2.0)
        return await super().put_file(key, path, content_type)


async def test_what_is_being_kept_at_that_moment_is_kept(
    stores: Stores, loaded: LoadedGenerator, user_id: str, store_settings: StoreSettings
) -> None:
    bucket = SlowBucket.open(store_settings)
    slow = dataclasses.replace(stores, objects=bucket)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", pages=9, page_s=0.4, keep=True)
    running = asyncio.create_task(run_job(slow, loaded, job_id, 1))

    async def is_on_its_way() -> bool:
        return bucket.begun

    await until(is_on_its_way)
    loaded.drain_signal.trigger()
    assert await running is None
    found = {stored.key for stored in await stores.objects.list(f"temp/{job_id}/kept-")}
    assert f"temp/{job_id}/kept-page-0.txt" in found


async def test_a_job_handed_back_while_redis_is_down_is_pushed_from_the_outbox(
    maintenance: MaintenanceContext, loaded: LoadedGenerator, user_id: str, sessions: Sessions
) -> None:
    job_id = await submit(sessions, SPEC, user_id, text="x")
    async with without_redis(maintenance) as cut_off:
        await hand_back(cut_off.stores, loaded, job_id, 1)
    assert (await read(sessions, job_id)).status == "queued"
    assert f"{job_id}-2" in await undelivered(sessions, outbox.ENQUEUE)


async def test_a_job_that_ran_waits_anew_and_does_not_expire(
    maintenance: MaintenanceContext, stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    """Its day of waiting was over when its turn came, and then ops deployed."""
    limits = {"normal": timedelta(hours=1)}
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    await hand_back(stores, loaded, job_id, 1)
    await age(stores.sessions, job_id, timedelta(hours=2))
    assert await expire_jobs(maintenance, limits) == 0
    await change(stores.sessions, job_id, heartbeat_at=None)
    assert await expire_jobs(maintenance, limits) == 1


async def test_two_hand_backs_of_one_attempt_queue_it_once(
    maintenance: MaintenanceContext, stores: Stores, user_id: str, tmp_path: Path
) -> None:
    """As when the answer to the first commit was lost."""
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    job = await claim(stores.sessions, job_id, 1)
    context = RunContext(7, tmp_path)
    for _ in range(2):
        assert await requeue_drained_job(stores, job, context)
    queue: JobQueue = maintenance.queues[SPEC.name]
    assert (await queue.counts()).waiting == 1
    assert (await read(stores.sessions, job_id)).attempt == 1
