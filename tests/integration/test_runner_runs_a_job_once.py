"""One attempt at a job, from claim to the last event, on the real stores."""

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

import deployments.worker.lease
import deployments.worker.runner
import deployments.worker.settle
from db.errors import StoreUnavailable
from db.jobs import queries, transitions
from db.object_store import ObjectStore
from db.outbox import rows as outbox
from db.redis.client import set_cancel_flag
from db.tables import File
from deployments.contract import Artifact, Context, GeneratorSpec
from deployments.stores import Stores
from deployments.worker.attempt import AttemptLost
from deployments.worker.context import RunContext
from deployments.worker.replica_calls import ReplicaCalls
from deployments.worker.runner import GeneratorStuck, LoadedGenerator, run_job
from tests.support.held_scribe import HeldScribe
from tests.support.jobs import claim, lose, money, new_user, read, submit, undelivered
from tests.support.objects import exists
from tests.support.scribe import SPEC, Scribe, ScribeRequest, impatient
from tests.support.stores import events
from tests.support.waiting import eventually, until


def scribe(loaded: LoadedGenerator) -> Scribe:
    assert isinstance(loaded.generator, Scribe)
    return loaded.generator


def with_spec(loaded: LoadedGenerator, spec: GeneratorSpec[Any]) -> LoadedGenerator:
    return LoadedGenerator(spec, loaded.generator, loaded.threads, loaded.work_dir)


async def test_a_generator_that_delivers_a_part_is_paid_for_that_part(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="hello", pages=3, delivered=2 / 3)
    ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None
    assert (ended.status, ended.credits_quoted, ended.credits_charged) == ("succeeded", 9, 6)
    assert await money(stores.sessions, user_id) == (94, 0)


async def test_success_stores_the_files_and_charges_the_quote_once(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="hello", pages=2)
    ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None
    assert (ended.status, ended.progress, ended.credits_charged) == ("succeeded", 1.0, 6)
    assert await money(stores.sessions, user_id) == (94, 0)
    assert [output["name"] for output in ended.outputs] == ["page-0.txt", "page-1.txt"]
    for output in ended.outputs:
        assert output["sha256"] == hashlib.sha256(b"hello 7").hexdigest()
        assert output["bytes"] == 7
        assert output["object_key"] == f"outputs/{user_id}/{job_id}/1-{output['name']}"
        assert await exists(stores.objects, output["object_key"])
    async with stores.sessions() as session:
        files = (await session.scalars(select(File).where(File.job_id == job_id))).all()
    assert {file.object_key for file in files} == {out["object_key"] for out in ended.outputs}
    assert loaded.work_dir is not None and not list(loaded.work_dir.iterdir()), "scratch is removed"


async def test_the_document_and_the_events_tell_what_happened(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    job_id = await submit(stores.sessions, SPEC, await new_user(stores.sessions), text="hello")
    await run_job(stores, loaded, job_id, 1)
    document = await stores.documents.get(job_id)
    assert document is not None
    assert document["notes"] == {"pages": 1, "ink": "black"}
    assert document["seed"] == 7
    assert document["memory_peak_bytes"] > 0
    stages = [stage["name"] for stage in document["stages"]]
    assert stages == ["fetching", "generating", "writing", "uploading", "settling"]
    assert all(stage["seconds"] >= 0 for stage in document["stages"])
    told = await events(stores, job_id)
    assert told[0] == {"type": "status", "status": "running", "attempt": 1}
    assert told[-1] == {"type": "done", "status": "succeeded"}
    assert await undelivered(stores.sessions, outbox.NOTIFY) == [], "told, so confirmed"


async def test_a_busy_store_gets_the_document_some_seconds_later(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    job_id = await submit(stores.sessions, SPEC, await new_user(stores.sessions), text="hello")
    async with stores.sessions.begin() as busy:
        await busy.execute(text("LOCK TABLE job_metadata IN EXCLUSIVE MODE"))
        running = asyncio.create_task(run_job(stores, loaded, job_id, 1))
        await asyncio.sleep(7)
    assert await running is not None
    assert await stores.documents.get(job_id) is not None


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ("bad_input", "text_unreadable", False),
        ("exception", "generator_error", True),
        ("nothing", "generator_error", True),
    ],
)
async def test_a_failure_costs_nothing_and_gives_no_secret_away(
    stores: Stores, loaded: LoadedGenerator, fault: str, code: str, retryable: bool
) -> None:
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", fault=fault)
    ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None and ended.error is not None
    assert (ended.status, ended.outputs) == ("failed", [])
    assert (ended.error["code"], ended.error["retryable"]) == (code, retryable)
    assert "secret" not in str(ended.error)
    assert await money(stores.sessions, user_id) == (100, 0)
    assert (await events(stores, job_id))[-1] == {"type": "done", "status": "failed"}


async def test_an_input_the_generator_no_longer_takes_fails_as_bad_input(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    async with stores.sessions.begin() as session:
        job = await queries.get(session, job_id)
        assert job is not None
        job.input = {"text": "x", "colour": "gone"}
    ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None and ended.error is not None
    assert ended.error["code"] == "bad_input"
    assert await money(stores.sessions, user_id) == (100, 0)


async def test_two_replicas_with_the_same_message_run_it_once(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="once", page_s=0.2)
    ends = await asyncio.gather(*(run_job(stores, loaded, job_id, 1) for _ in range(4)))
    assert sum(end is not None for end in ends) == 1
    assert scribe(loaded).calls["once"] == 1
    assert await money(stores.sessions, user_id) == (97, 0)


@pytest.mark.parametrize("attempt", [2, 3])
async def test_a_message_for_another_attempt_is_dropped(
    stores: Stores, loaded: LoadedGenerator, attempt: int
) -> None:
    job_id = await submit(stores.sessions, SPEC, await new_user(stores.sessions), text="x")
    assert await run_job(stores, loaded, job_id, attempt) is None
    assert (await read(stores.sessions, job_id)).status == "queued"


async def test_an_attempt_that_lost_its_job_neither_uploads_over_nor_settles(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    """The first replica stalls, the job is given to a second one, then the first wakes up."""
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="mine", fault="deaf")
    stalled = replace(loaded, generator=(held := HeldScribe()))
    zombie = asyncio.create_task(run_job(stores, stalled, job_id, 1))
    await until(lambda: _has_begun(stalled, "mine"))
    await lose(stores.sessions, job_id, 1)
    second = await claim(stores.sessions, job_id, 2)
    held.released.set()
    assert await zombie is None
    row = await read(stores.sessions, job_id)
    assert (row.status, row.attempt, row.outputs) == ("running", 2, [])
    assert await money(stores.sessions, user_id) == (97, 3)
    names = {found.key for found in await stores.objects.list(f"outputs/{user_id}/{job_id}/")}
    assert all("/1-" in name for name in names), f"attempt {second.attempt} owns the others"


class Heedless(Scribe):
    """Goes on when it is stopped, and has its pages only then."""

    def generate(self, request: ScribeRequest, context: Context) -> list[Artifact]:
        made = super().generate(request, context)
        assert isinstance(context, RunContext)
        eventually(lambda: context.stop_reason)
        return made


async def test_an_attempt_that_knows_it_lost_uploads_nothing(
    stores: Stores, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments.worker.lease, "HEARTBEAT_INTERVAL_S", 0.1)
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="mine")
    heedless = replace(loaded, generator=Heedless())
    zombie = asyncio.create_task(run_job(stores, heedless, job_id, 1))
    await until(lambda: _has_begun(heedless, "mine"))
    async with stores.sessions.begin() as session:
        job = await queries.get(session, job_id)
        assert job is not None
        job.attempt = 2
    assert await zombie is None
    assert await stores.objects.list(f"outputs/{user_id}/{job_id}/") == []


async def test_a_job_canceled_while_running_is_charged_for_its_finished_share(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="long", pages=20, page_s=0.5)
    running = asyncio.create_task(run_job(stores, loaded, job_id, 1))

    async def is_under_way() -> bool:
        return any(event.get("fraction", 0) > 0 for event in await events(stores, job_id))

    await until(is_under_way)
    await set_cancel_flag(stores.redis, job_id)
    ended = await running
    assert ended is not None
    assert ended.status == "canceled"
    assert 0 < ended.credits_charged < 60
    assert ended.credits_charged == round(60 * ended.progress) or ended.progress == 0
    assert await money(stores.sessions, user_id) == (100 - ended.credits_charged, 0)


async def test_a_cancel_reaches_the_replica_through_the_row_when_redis_forgot_it(
    stores: Stores, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments.worker.lease, "HEARTBEAT_INTERVAL_S", 0.2)
    job_id = await submit(
        stores.sessions, SPEC, await new_user(stores.sessions), text="long", pages=20, page_s=1.0
    )
    running = asyncio.create_task(run_job(stores, loaded, job_id, 1))
    await until(lambda: _has_begun(loaded, "long"))
    async with stores.sessions.begin() as session:
        await transitions.request_cancel(session, job_id)
    ended = await running
    assert ended is not None and ended.status == "canceled"


async def test_a_job_that_takes_too_long_fails_and_the_generator_goes_on(
    stores: Stores, loaded: LoadedGenerator
) -> None:
    user_id = await new_user(stores.sessions)
    hurried = with_spec(loaded, impatient(3.0))
    job_id = await submit(stores.sessions, SPEC, user_id, text="slow", pages=20, page_s=0.5)
    ended = await run_job(stores, hurried, job_id, 1)
    assert ended is not None and ended.error is not None
    assert (ended.status, ended.error["code"]) == ("failed", "time_limit_exceeded")
    assert await money(stores.sessions, user_id) == (100, 0)
    quick = await submit(stores.sessions, SPEC, user_id, text="quick")
    after = await run_job(stores, hurried, quick, 1)
    assert after is not None and after.status == "succeeded"


async def test_a_generator_that_hears_nothing_is_given_up_with_its_replica(
    stores: Stores, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments.worker.runner, "STOP_TIMEOUT_S", 0.2)
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="deaf", fault="deaf")
    stuck = replace(loaded, spec=impatient(0.3), generator=(held := HeldScribe()))
    with pytest.raises(GeneratorStuck):
        await run_job(stores, stuck, job_id, 1)
    held.released.set()
    row = await read(stores.sessions, job_id)
    assert row.error is not None
    assert (row.status, row.error["code"]) == ("failed", "time_limit_exceeded")
    assert await money(stores.sessions, user_id) == (100, 0)


async def test_a_bucket_that_is_down_for_a_moment_is_waited_for(
    stores: Stores, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, failures = ObjectStore.put_file, [StoreUnavailable("objects"), StoreUnavailable("objects")]

    async def flaky(self: ObjectStore, *args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await put(self, *args)

    monkeypatch.setattr(ObjectStore, "put_file", flaky)
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None and ended.status == "succeeded"
    assert not failures
    assert await money(stores.sessions, user_id) == (97, 0)


async def test_a_bucket_that_stays_down_leaves_the_row_to_the_keeper(
    stores: Stores, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(self: ObjectStore, *args: Any) -> Any:
        raise StoreUnavailable("objects")

    monkeypatch.setattr(ObjectStore, "put_file", down)
    monkeypatch.setattr("deployments.worker.outputs.STORE_TIMEOUT_S", 0.5)
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    with pytest.raises(StoreUnavailable):
        await run_job(stores, loaded, job_id, 1)
    row = await read(stores.sessions, job_id)
    assert (row.status, row.attempt) == ("running", 1)
    assert await money(stores.sessions, user_id) == (97, 3)


async def test_a_client_that_swallows_a_cancellation_cannot_hold_up_the_settlement(
    stores: Stores, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_: Any) -> bool:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return True

    monkeypatch.setattr(ReplicaCalls, "publish", deaf)
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", page_s=0.3)
    async with asyncio.timeout(45):
        ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None and ended.status == "succeeded"


async def test_a_settlement_whose_answer_was_lost_still_counts_as_this_attempts(
    stores: Stores, loaded: LoadedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres commits and dies before it says so: the second try finds its own final row."""
    settle, seen = deployments.worker.settle.settle, []

    async def forgetful(session: Any, job: Any, ending: Any) -> Any:
        seen.append(await settle(session, job, ending))
        if len(seen) == 1:
            await session.commit()
            raise StoreUnavailable("postgres")
        return seen[-1]

    monkeypatch.setattr("deployments.worker.settle.settle", forgetful)
    user_id = await new_user(stores.sessions)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", fault="exception")
    ended = await run_job(stores, loaded, job_id, 1)
    assert seen[1] is None
    assert ended is not None and ended.status == "failed"
    assert await money(stores.sessions, user_id) == (100, 0)


async def _has_begun(loaded: LoadedGenerator, text: str) -> bool:
    return scribe(loaded).calls[text] > 0


def test_a_lost_attempt_is_no_error_of_a_store() -> None:
    assert not issubclass(AttemptLost, StoreUnavailable)
