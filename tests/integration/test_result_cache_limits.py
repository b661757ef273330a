"""Results given again, beside the storage quota and beside an erasure at the same moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
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

QUOTA = 10_000
PATIENCE = timedelta(minutes=2)


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


def kept(person: Person, size: int) -> File:
    own = new_id("file")
    return File(
        id=own, user_id=person.id, purpose="output", object_key=f"outputs/{own}", name="x.png",
        content_type="image/png", bytes=size, sha256="",
    )  # fmt: skip


async def test_a_full_account_is_given_no_result_again(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    await made(stores, loaded, ada)
    async with api.sessions.begin() as session:
        session.add(kept(ada, QUOTA))
    body = {"generator": "scribe", "input": INPUT}
    problem(await ada.post("/v1/jobs", json=body), 403, "storage_quota_exceeded")
    batch = await ada.post("/v1/batches", files={"file": ("a.jsonl", jsonl(body))})
    problem(batch, 403, "storage_quota_exceeded")
    assert await copies(api, ada) == set()


async def test_a_picture_inside_counts_where_the_result_is_given_again(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    given = {**INPUT, "pictures": [{"data": data_uri(picture())}]}
    await made(stores, loaded, ada, given)
    used = (await ada.get("/v1/limits")).json()["storage"]["now"]
    async with api.sessions.begin() as session:
        session.add(kept(ada, QUOTA - used - 1))
    body = {"generator": "scribe", "input": given}
    problem(await ada.post("/v1/jobs", json=body), 403, "storage_quota_exceeded")
    assert await copies(api, ada) == set()


async def test_a_job_is_erased_while_it_is_copied(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    """Both want the job and the count of the user's files: in one order, so neither is refused."""
    first = await made(stores, loaded, ada)
    async with api.sessions.begin() as session:
        assert await results.lock(session, {first["id"]}, ada.id) == {first["id"]}
        erasing = asyncio.create_task(ada.delete(f"/v1/jobs/{first['id']}"))
        async with asyncio.timeout(PATIENCE.total_seconds()), api.sessions() as watching:
            waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not await watching.scalar(waits):
                assert not erasing.done()
                await asyncio.sleep(0.05)
                await watching.rollback()
        session.add(kept(ada, 1))
        await session.flush()
    assert (await erasing).status_code == 204


async def test_a_job_that_is_erased_before_its_document_is_written_leaves_none(
    api: World,
    ada: Person,
    stores: Stores,
    loaded: LoadedGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await made(stores, loaded, ada)
    merge, written = api.clients.documents.merge, []

    async def erase_and_merge(job_id: str, fields: dict[str, Any]) -> None:
        assert (await ada.delete(f"/v1/jobs/{job_id}")).status_code == 204
        await merge(job_id, fields)
        written.append(job_id)

    monkeypatch.setattr(api.clients.documents, "merge", erase_and_merge)
    lines = [{"generator": "scribe", "input": INPUT}] * 2
    answer = await ada.post("/v1/batches", files={"file": ("a.jsonl", jsonl(*lines))})
    assert answer.status_code == 202, answer.text
    assert len(written) == 2
    assert [await stores.documents.get(job_id) for job_id in written] == [None, None]
