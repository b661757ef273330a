"""When the same input and seed are drawn again all the same."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from db.errors import StoreUnavailable
from db.tables import Job
from deployments.maintenance.clean_storage import sweep_orphans
from deployments.maintenance.context import MaintenanceContext
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from metrics import catalog
from serve_app.jobs import result_cache
from tests.integration.test_http_batches import jsonl
from tests.integration.test_result_cache import (
    AT_ONCE,
    INPUT,
    content,
    copies,
    made,
    submitted,
)
from tests.support.http import Person, World, problem
from tests.support.recorder import Recorder
from tests.support.round_trips import counted_round_trips
from tests.support.still_models import StillModels


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"ATELIER_RESULT_CACHE_HOURS": 24, "ATELIER_PROFILE": "tiny", "WELCOME_CREDITS": 100}


@pytest.fixture
def loaded(loaded: LoadedGenerator) -> LoadedGenerator:
    return replace(loaded, inference=StillModels())


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"text": "hello"}, {"text": "hello"}),
        (INPUT, {**INPUT, "seed": 8}),
        (INPUT, {**INPUT, "text": "bye"}),
        ({**INPUT, "delivered": 0.5, "pages": 2}, {**INPUT, "delivered": 0.5, "pages": 2}),
    ],
    ids=["no seed", "another seed", "another text", "only a part was made"],
)
async def test_another_input_is_made(
    ada: Person,
    stores: Stores,
    loaded: LoadedGenerator,
    first: dict[str, Any],
    then: dict[str, Any],
) -> None:
    await made(stores, loaded, ada, first)
    assert (await submitted(ada, then))["status"] == "queued"


@pytest.mark.parametrize("value", ["no-cache", "max-age=0, No-Cache", "no-store"])
async def test_who_refuses_a_result_that_is_there_gets_a_new_one(
    ada: Person, stores: Stores, loaded: LoadedGenerator, value: str
) -> None:
    await made(stores, loaded, ada)
    assert (await submitted(ada, headers={"Cache-Control": value}))["status"] == "queued"
    assert (await submitted(ada, headers={"Cache-Control": "max-age=0"}))["status"] == "succeeded"


async def test_a_retry_makes_it_again(ada: Person, stores: Stores, loaded: LoadedGenerator) -> None:
    first = await made(stores, loaded, ada)
    for job_id in (first["id"], (await submitted(ada))["id"]):
        again = await ada.post(f"/v1/jobs/{job_id}/retry")
        assert (again.json()["status"], again.json()["cost"]["estimated"]) == ("queued", 3)


async def test_somebody_elses_result_is_nobody_elses(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    await made(stores, loaded, ada)
    assert (await submitted(await api.guest()))["status"] == "queued"


async def test_other_models_and_other_code_make_another_result(
    api: World,
    ada: Person,
    stores: Stores,
    loaded: LoadedGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await made(stores, replace(loaded, inference=StillModels("rtx3060")), ada)
    assert (await submitted(ada))["status"] == "queued"
    first = await made(stores, loaded, ada)
    assert (await submitted(ada))["cached_from"] == first["id"]
    monkeypatch.setattr("deployments.result_key._code_of", lambda generator: "newer")
    assert (await submitted(ada))["status"] == "queued"


async def test_a_result_of_unknown_models_and_one_of_a_second_attempt_are_not_kept(
    ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    job = await submitted(ada)
    await run_job(stores, replace(loaded, inference=None), job["id"], 1)
    job = await submitted(ada)
    assert job["status"] == "queued"
    async with stores.sessions.begin() as session:
        await session.execute(update(Job).where(Job.id == job["id"]).values(attempt=1))
    ended = await run_job(stores, loaded, job["id"], 2)
    assert ended is not None and ended.status == "succeeded"
    assert (await submitted(ada))["status"] == "queued"


async def test_an_old_result_is_made_again(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    first = await made(stores, loaded, ada)
    again = await submitted(ada)
    for hours, status in ((23, "succeeded"), (25, "queued")):
        async with api.sessions.begin() as session:
            ended = Job.created_at - timedelta(hours=hours)
            await session.execute(
                update(Job).where(Job.id == first["id"]).values(finished_at=ended)
            )
        assert (await submitted(ada))["status"] == status, f"the copy {again['id']} is no source"


async def test_a_generator_that_accepts_nothing_gives_nothing_again(
    api: World, ada: Person, root: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    await made(stores, loaded, ada)
    drained = await root.post("/v1/admin/queues/scribe/drain")
    assert drained.is_success, drained.text
    body = {"generator": "scribe", "input": INPUT}
    problem(await ada.post("/v1/jobs", json=body), 503, "draining")
    assert await copies(api, ada) == set()


# What goes wrong


async def test_a_result_whose_file_was_deleted_is_made_again(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator, shown: Recorder
) -> None:
    given = {**INPUT, "pages": 2}
    await made(stores, loaded, ada, given)
    files = (await ada.get("/v1/files")).json()["data"]
    (last,) = (file["id"] for file in files if file["name"] == "page-1.txt")
    assert (await ada.delete(f"/v1/files/{last}")).status_code == 204
    assert (await submitted(ada, given))["status"] == "queued"
    assert await copies(api, ada) == set()
    assert shown.value(catalog.RESULT_CACHE, generator="scribe", found="gone") == 1


async def test_a_store_that_is_away_lets_the_job_be_made(
    api: World,
    ada: Person,
    stores: Stores,
    loaded: LoadedGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await made(stores, loaded, ada)

    async def away(*_: object) -> None:
        raise StoreUnavailable("objects", "away")

    monkeypatch.setattr(api.clients.objects, "copy", away)
    assert (await submitted(ada))["status"] == "queued"


async def test_a_job_that_is_erased_meanwhile_is_not_given_again(
    api: World,
    ada: Person,
    stores: Stores,
    loaded: LoadedGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, copy = await made(stores, loaded, ada), api.clients.objects.copy

    async def copy_and_erase(source: str, key: str) -> None:
        await copy(source, key)
        assert (await ada.delete(f"/v1/jobs/{first['id']}")).status_code == 204

    monkeypatch.setattr(api.clients.objects, "copy", copy_and_erase)
    headers = {"Idempotency-Key": "once"}
    again = await submitted(ada, headers=headers)
    assert (again["status"], again["cost"]["estimated"]) == ("queued", 3)
    assert await copies(api, ada) == set()
    assert (await submitted(ada, headers=headers))["id"] == again["id"]


async def test_copies_of_a_request_that_broke_off_are_swept(
    api: World,
    ada: Person,
    stores: Stores,
    loaded: LoadedGenerator,
    maintenance: MaintenanceContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await made(stores, loaded, ada)
    kept = await submitted(ada)

    async def dies(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(result_cache, "tell", dies)
        with pytest.raises(SystemExit):
            await ada.post("/v1/jobs", json={"generator": "scribe", "input": INPUT})
    assert len(await copies(api, ada)) == 2
    assert await api.count(Job, ada.id) == 2, "nothing of it is in the books"
    assert await sweep_orphans(maintenance, AT_ONCE) == 1
    for job_id in (first["id"], kept["id"]):
        assert await content((await ada.get(f"/v1/jobs/{job_id}")).json()) == [b"hello 7"]


async def test_a_lookup_is_one_question(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    for seed in range(8):  # the statements are prepared by then
        await submitted(ada, {**INPUT, "seed": seed})
    found = {}
    for value in ("no-cache", "max-age=0"):
        trips = []
        for seed in range(5):
            await api.clients.push_confirmations.confirm()
            with counted_round_trips(api.clients.engine) as count:
                given = {**INPUT, "seed": 100 + seed}
                await submitted(ada, given, headers={"Cache-Control": value})
                trips.append(count())
        found[value] = min(trips)
    assert found["max-age=0"] == found["no-cache"] + 1


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
