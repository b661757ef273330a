"""Results given again take room, too, and the locks that they take are taken in one order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from db.ids import new_id
from db.jobs import results
from db.tables import File
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator
from tests.integration.test_http_batches import jsonl
from tests.integration.test_http_files import data_uri, picture
from tests.integration.test_result_cache import INPUT, copies, made
from tests.support.http import Person, World, problem
from tests.support.still_models import StillModels
from tests.support.waiting import until

QUOTA = 100_000


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {
        "ATELIER_RESULT_CACHE_HOURS": 24,
        "ATELIER_PROFILE": "tiny",
        "WELCOME_CREDITS": 100,
        "STORAGE_QUOTAS": {"free": QUOTA},
    }


@pytest.fixture
def loaded(loaded: LoadedGenerator) -> LoadedGenerator:
    return replace(loaded, inference=StillModels())


def kept(person: Person, size: int, job_id: str | None = None) -> File:
    own = new_id("file")
    return File(
        id=own, user_id=person.id, job_id=job_id, purpose="output", object_key=f"outputs/{own}",
        name="x.png", content_type="image/png", bytes=size, sha256="",
    )  # fmt: skip


async def fill(person: Person, left: int) -> None:
    """Leave so many bytes of the quota."""
    used = (await person.get("/v1/limits")).json()["storage"]["now"]
    async with person.world.sessions.begin() as session:
        session.add(kept(person, QUOTA - used - left))


async def test_a_full_account_is_given_no_result_again(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    await made(stores, loaded, ada)
    await fill(ada, 0)
    order = {"generator": "scribe", "input": INPUT}
    refused = await ada.post("/v1/jobs", json=order, headers={"Idempotency-Key": "one"})
    problem(refused, 403, "storage_quota_exceeded")
    batch = await ada.post("/v1/batches", files={"file": ("a.jsonl", jsonl(order, order))})
    problem(batch, 403, "storage_quota_exceeded")
    assert await copies(api, ada) == set(), "what was copied is deleted"
    async with api.sessions.begin() as session:
        await session.execute(text("DELETE FROM files WHERE bytes > 1000"))
    again = await ada.post("/v1/jobs", json=order, headers={"Idempotency-Key": "one"})
    assert again.status_code == 202 and again.json()["status"] == "succeeded"


async def test_a_picture_of_an_input_whose_result_is_given_again_counts(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    order = {**INPUT, "pictures": [{"data": data_uri(picture())}]}
    await made(stores, loaded, ada, order)
    await fill(ada, 10)
    refused = await ada.post("/v1/jobs", json={"generator": "scribe", "input": order})
    problem(refused, 403, "storage_quota_exceeded")
    assert (await ada.get("/v1/limits")).json()["storage"] == {"now": QUOTA - 10, "max": QUOTA}


async def test_a_job_is_erased_while_it_is_copied_without_a_deadlock(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    job = await made(stores, loaded, ada)

    async def is_waited_for() -> bool:
        async with api.sessions() as session:
            waiting = text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(await session.scalar(waiting))

    async with api.sessions.begin() as session:
        assert await results.lock(session, {job["id"]}, ada.id) == {job["id"]}
        erasing = asyncio.create_task(ada.delete(f"/v1/jobs/{job['id']}"))
        await until(is_waited_for)
        session.add(kept(ada, 7))
        await session.flush()
    assert (await erasing).status_code == 204
    assert (await ada.get("/v1/limits")).json()["storage"]["now"] == 7
