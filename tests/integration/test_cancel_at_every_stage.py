"""A cancel, whatever the runner is at: the replica is free soon, the charge follows the rule."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import deployments.worker.settle
from billing.settlement import Settlement, settle
from db.errors import StoreUnavailable
from db.jobs import queries, transitions
from db.object_store import ObjectStore
from db.redis.client import get_flags, set_cancel_flag
from db.tables import Job
from deployments.maintenance.clean_storage import sweep_leftovers
from deployments.maintenance.context import MaintenanceContext
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from tests.integration.test_runner_fetches_inputs import a_file
from tests.support.jobs import money, read, submit
from tests.support.scribe import SPEC
from tests.support.stores import events
from tests.support.waiting import until

# Long enough for a busy machine, and much less than what holds the job up would take.
FREE_WITHIN_S = 20.0
PAGES = 4
QUOTE = 3 * PAGES


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What a slow store waits for, until the test is over."""
    over = threading.Event()
    yield over
    over.set()


async def cancel(stores: Stores, job_id: str) -> None:
    """What the API does for a running job."""
    async with stores.sessions.begin() as session:
        await transitions.request_cancel(session, job_id)
    await set_cancel_flag(stores.redis, job_id)


async def canceled(
    stores: Stores, loaded: LoadedGenerator, user_id: str, stage: str, **given: Any
) -> Job:
    """Cancels a job at ``stage``; another one, which runs beside it, is none the wiser."""
    balance, _ = await money(stores.sessions, user_id)
    other = await submit(stores.sessions, SPEC, user_id, text="other", pages=2, page_s=1.0)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", pages=PAGES, **given)
    beside = asyncio.create_task(run_job(stores, loaded, other, 1))
    running = asyncio.create_task(run_job(stores, loaded, job_id, 1))
    await until(lambda: _is_at(stores, job_id, stage))
    began = time.monotonic()
    await cancel(stores, job_id)
    ended = await running
    assert time.monotonic() - began < FREE_WITHIN_S
    assert ended is not None
    for _ in range(2):  # a cancel too late changes nothing
        await cancel(stores, job_id)
    row = await read(stores.sessions, job_id)
    assert (row.status, row.credits_charged) == (ended.status, ended.credits_charged)
    unharmed = await beside
    assert unharmed is not None and unharmed.status == "succeeded"
    assert await money(stores.sessions, user_id) == (balance - ended.credits_charged - 6, 0)
    return ended


async def _is_at(stores: Stores, job_id: str, stage: str) -> bool:
    return any(event.get("stage") == stage for event in await events(stores, job_id))


async def test_queued_its_message_finds_it_ended(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="x")
    async with stores.sessions.begin() as session:
        job = await queries.get(session, job_id)
        assert job is not None
        assert await settle(session, job, Settlement("canceled")) is not None
    assert await run_job(stores, loaded, job_id, 1) is None
    assert (await read(stores.sessions, job_id)).status == "canceled"
    assert await money(stores.sessions, user_id) == (100, 0)


async def test_fetching_from_a_server_that_says_nothing(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        ended = await canceled(stores, loaded, user_id, "fetching", pictures=[{"url": url}])
        over.set()
    assert (ended.status, ended.credits_charged) == ("canceled", 0)


@pytest.mark.parametrize("down", [False, True], ids=["slow", "down"])
async def test_fetching_from_a_bucket_that_is(
    stores: Stores,
    loaded: LoadedGenerator,
    user_id: str,
    held: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    down: bool,
) -> None:
    async def get(self: ObjectStore, *given: Any) -> None:
        if down:
            raise StoreUnavailable("objects")
        await asyncio.to_thread(held.wait, 60)

    file_id = await a_file(stores, user_id)
    monkeypatch.setattr(ObjectStore, "get_file", get)
    ended = await canceled(stores, loaded, user_id, "fetching", pictures=[{"file_id": file_id}])
    assert (ended.status, ended.credits_charged) == ("canceled", 0)


async def test_generating_pays_for_the_share_that_was_done(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    ended = await canceled(stores, loaded, user_id, "writing", page_s=3.0)
    assert ended.status == "canceled"
    assert ended.credits_charged == round(QUOTE * ended.progress) or ended.progress == 0
    assert 0 < ended.credits_charged < QUOTE


@pytest.mark.parametrize("down", [False, True], ids=["slow", "down"])
async def test_uploading_to_a_bucket_that_is(
    stores: Stores,
    loaded: LoadedGenerator,
    user_id: str,
    held: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    down: bool,
) -> None:
    """All of it was done and is paid for; what was stored of it is named by nobody, and swept."""
    put = ObjectStore.put_file

    async def slow(self: ObjectStore, key: str, path: Path, kind: str) -> Any:
        if path.read_text().startswith("x") and path.name != "page-0.txt":
            if down:
                raise StoreUnavailable("objects")
            await asyncio.to_thread(held.wait, 60)
        return await put(self, key, path, kind)

    monkeypatch.setattr(ObjectStore, "put_file", slow)
    ended = await canceled(stores, loaded, user_id, "uploading")
    assert (ended.status, ended.outputs, ended.credits_charged) == ("canceled", [], QUOTE)
    stored = await stores.objects.list(f"outputs/{user_id}/{ended.id}/")
    assert len(stored) == 1
    async with stores.sessions.begin() as session:
        job = await session.get_one(Job, ended.id)
        assert job.finished_at is not None
        job.finished_at -= (sweep_leftovers.__defaults__ or ())[0] * 1.5
    assert await sweep_leftovers(MaintenanceContext(stores, {})) == 1


async def test_settling_is_too_late(
    stores: Stores, loaded: LoadedGenerator, user_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deployments.worker.settle.settle

    async def slow(session: Any, job: Job, ending: Settlement) -> Job | None:
        async def flagged() -> bool:
            return (await get_flags(stores.redis, [job.id]))[0].canceled

        if job.input["text"] == "x":
            await until(flagged)
        return await real(session, job, ending)

    monkeypatch.setattr("deployments.worker.settle.settle", slow)
    ended = await canceled(stores, loaded, user_id, "settling")
    assert (ended.status, ended.credits_charged) == ("succeeded", QUOTE)
    assert len(ended.outputs) == PAGES
