"""The metadata and the log of a job while it runs, after a lost attempt, and at its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis

from db.redis.client import reports_key
from deployments.contract import Artifact, Context
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from tests.support.held_scribe import HeldScribe
from tests.support.http import Person, World
from tests.support.jobs import claim, silence, submit
from tests.support.scribe import SPEC, ScribeRequest
from tests.support.waiting import until

KEY = {"name": "log", "scopes": ["jobs:read", "jobs:write"]}


class Work:
    """A job of ada's that is held behind its first page, and what the API tells of it."""

    def __init__(self, ada: Person, stores: Stores, loaded: LoadedGenerator, job_id: str) -> None:
        self.ada, self.stores, self.id = ada, stores, job_id
        self.held = HeldScribe(pages=1)
        self.loaded = replace(loaded, generator=self.held)

    @asynccontextmanager
    async def attempt(self, number: int) -> AsyncIterator[asyncio.Task[Any]]:
        """An attempt at work; left early, it is gone like a killed process: nothing is told."""
        task = asyncio.create_task(run_job(self.stores, self.loaded, self.id, number))
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.held.released.set()

    async def told(self) -> dict[str, Any]:
        return dict((await self.ada.get(f"/v1/jobs/{self.id}/metadata")).json())

    async def notes(self, name: str) -> bool:
        return name in (await self.told())["metadata"].get("notes", {})

    async def says(self, message: str) -> bool:
        return message in messages(await self.told())


def messages(told: dict[str, Any]) -> list[str]:
    return [line["message"] for line in told["logs"]]


async def held_job(ada: Person, stores: Stores, loaded: LoadedGenerator) -> Work:
    job_id = await submit(stores.sessions, SPEC, ada.id, text="hello", pages=2)
    return Work(ada, stores, loaded, job_id)


async def test_a_running_job_tells_what_is_known_so_far(
    ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    work = await held_job(ada, stores, loaded)
    assert await work.told() == {"job_id": work.id, "metadata": {}, "logs": []}
    async with work.attempt(1) as running:
        await until(lambda: work.notes("pages"))
        told = await work.told()
        known, (*ended, stage) = told["metadata"], told["metadata"]["stages"]
        assert (known["status"], known["attempt"], known["seed"]) == ("running", 1, 7)
        assert known["notes"] == {"pages": 1, "ink": "black"} and known["memory_peak_bytes"] > 0
        assert [one["name"] for one in ended] == ["fetching", "generating"]
        assert all(one["seconds"] >= 0 for one in ended)
        assert stage["name"] == "writing" and stage["started_at"] and "seconds" not in stage
        first = told["logs"][0]
        assert (first["message"], first["level"], first["attempt"]) == (
            "attempt 1 began",
            "info",
            1,
        )
        assert await stores.documents.get(work.id) is None, "nothing is written for each step"
        work.held.released.set()
        await running
    after = await work.told()
    assert after["metadata"]["status"] == "succeeded" and "logs" not in after["metadata"]
    assert all(one["seconds"] >= 0 for one in after["metadata"]["stages"])
    assert messages(after)[: len(told["logs"])] == messages(told)
    assert messages(after)[-1] == "succeeded: 2 files, 6 credits charged"


async def test_a_lost_attempt_is_in_the_log_of_the_next(
    ada: Person, stores: Stores, loaded: LoadedGenerator, maintenance: MaintenanceContext
) -> None:
    work = await held_job(ada, stores, loaded)
    async with work.attempt(1):
        await until(lambda: work.says("writing began"))
    lost = "attempt 1 was lost with its worker; attempt 2 follows"
    await silence(stores.sessions, work.id)
    assert await recover_lost_jobs(maintenance) == 1
    told = await work.told()
    assert (told["metadata"]["status"], told["metadata"]["attempt"]) == ("queued", 1)
    assert messages(told)[-1] == lost and told["logs"][-1]["level"] == "warning"
    await run_job(stores, work.loaded, work.id, 2)
    after = await work.told()
    assert messages(after)[: len(told["logs"])] == messages(told), "both attempts are told of"
    assert [line["attempt"] for line in after["logs"]] == sorted(
        line["attempt"] for line in after["logs"]
    )
    assert messages(after)[len(told["logs"])] == "attempt 2 began"
    assert (after["metadata"]["status"], after["metadata"]["attempt"]) == ("succeeded", 2)
    document = await stores.documents.get(work.id)
    assert document is not None and messages(document) == messages(after)


async def test_a_job_that_maintenance_ends_keeps_its_log(
    ada: Person, stores: Stores, loaded: LoadedGenerator, maintenance: MaintenanceContext
) -> None:
    work = await held_job(ada, stores, loaded)
    async with work.attempt(1):
        await until(lambda: work.says("writing began"))
    for attempt in (1, 2, 3):
        if attempt > 1:
            await claim(stores.sessions, work.id, attempt)
        await silence(stores.sessions, work.id)
        assert await recover_lost_jobs(maintenance) == 1
    document = await stores.documents.get(work.id)
    assert document is not None and (document["status"], document["attempt"]) == ("failed", 3)
    await stores.redis.flushdb()
    told = await work.told()
    assert messages(told)[-1] == "attempt 3 was lost with its worker; the job is failed"
    assert "writing began" in messages(told)


async def test_a_wiped_redis_loses_no_line_of_the_attempt_at_work(
    ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    work = await held_job(ada, stores, loaded)
    async with work.attempt(1) as running:
        await until(lambda: work.says("writing began"))
        before = messages(await work.told())
        await stores.redis.flushdb()
        assert (await work.told())["logs"] == []
        work.held.released.set()
        await running
    assert messages(await work.told())[: len(before)] == before


async def test_what_redis_has_of_a_job_goes_with_it(
    ada: Person, stores: Stores, redis: Redis, loaded: LoadedGenerator
) -> None:
    work = await held_job(ada, stores, loaded)
    work.held.released.set()
    await run_job(stores, work.loaded, work.id, 1)
    assert 0 < await redis.ttl(reports_key(work.id)) <= 60, "the document has it"
    assert (await ada.delete(f"/v1/jobs/{work.id}")).status_code == 204
    assert not await redis.exists(reports_key(work.id))


async def test_the_facades_show_the_lines(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    key = (await ada.post("/v1/api-keys", json=KEY)).json()["key"]
    work = await held_job(ada, stores, loaded)

    async def fal(query: str) -> dict[str, Any]:
        path = f"/fal/queue/atelier/scribe/requests/{work.id}/status{query}"
        answer = await api.http.get(path, headers={"Authorization": f"Key {key}"})
        return dict(answer.json())

    async def prediction() -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"}
        path = f"/replicate/v1/predictions/{work.id}"
        return dict((await api.http.get(path, headers=headers)).json())

    async with work.attempt(1) as running:
        await until(lambda: work.says("writing began"))
        now = await fal("?logs=1")
        assert now["status"] == "IN_PROGRESS"
        line = now["logs"][0]
        assert (line["message"], line["level"], line["source"]) == (
            "attempt 1 began", "INFO", "USER",
        )  # fmt: skip
        assert line["timestamp"]
        assert (await fal(""))["logs"] == [] == (await fal("?logs=0"))["logs"]
        lines = (await prediction())["logs"].splitlines()
        assert lines[0] == "attempt 1 began" and lines[-1].endswith("/100 writing")
        work.held.released.set()
        await running
    done = await fal("?logs=1")
    assert done["status"] == "COMPLETED"
    assert done["logs"][-1]["message"] == "succeeded: 2 files, 6 credits charged"
    assert "succeeded: 2 files, 6 credits charged" in (await prediction())["logs"]


class OddScribe(HeldScribe):
    """Notes what neither JSON nor UTF-8 holds."""

    def _write(self, request: ScribeRequest, context: Context, page: int) -> Artifact:
        context.note(likeness=float("nan"), word="a\ud800b")
        return super()._write(request, context, page)


async def test_a_note_that_is_no_number_or_no_text_keeps_nobody_from_the_others(
    ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    work = await held_job(ada, stores, loaded)
    odd = OddScribe(pages=1)
    work.loaded, work.held = replace(loaded, generator=odd), odd
    known = {"likeness": None, "word": "a?b"}
    async with work.attempt(1) as running:
        await until(lambda: work.notes("likeness"))
        assert (await work.told())["metadata"]["notes"].items() >= known.items()
        odd.released.set()
        await running
    assert (await work.told())["metadata"]["notes"].items() >= {**known, "pages": 2}.items()
