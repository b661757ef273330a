"""The same input and seed again: the result is there at once, costs nothing, and is its own."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from billing.reconcile import reconcile
from db.tables import Batch, Job, Outbox, User
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from metrics import catalog
from tests.integration.test_http_batches import jsonl
from tests.integration.test_http_files import data_uri, picture, upload
from tests.integration.test_http_personas import saved
from tests.support.http import Person, World, problem
from tests.support.recorder import Recorder
from tests.support.still_models import StillModels

INPUT = {"text": "hello", "seed": 7}
HOOK = "https://example.com/hook"
AT_ONCE = timedelta(0)


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"ATELIER_RESULT_CACHE_HOURS": 24, "ATELIER_PROFILE": "tiny", "WELCOME_CREDITS": 100}


@pytest.fixture
def loaded(loaded: LoadedGenerator) -> LoadedGenerator:
    return replace(loaded, inference=StillModels())


async def submitted(
    person: Person, given: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    headers = more.pop("headers", {})
    body = {"generator": "scribe", "input": given or INPUT, **more}
    answer = await person.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def made(
    stores: Stores,
    loaded: LoadedGenerator,
    person: Person,
    given: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A job that a replica ran."""
    job = await submitted(person, given)
    assert job["status"] == "queued"
    ended = await run_job(stores, loaded, job["id"], 1)
    assert ended is not None and ended.status == "succeeded"
    found: dict[str, Any] = (await person.get(f"/v1/jobs/{job['id']}")).json()
    return found


async def content(job: dict[str, Any]) -> list[bytes]:
    async with httpx.AsyncClient(timeout=90) as web:
        answers = [await web.get(output["url"]) for output in job["outputs"]]
    assert all(answer.status_code == 200 for answer in answers)
    return [answer.content for answer in answers]


async def copies(api: World, person: Person) -> set[str]:
    return {stored.key for stored in await api.clients.objects.list(f"outputs/copies/{person.id}/")}


# What is given again


async def test_the_same_input_and_seed_have_succeeded_at_once_for_nothing(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator, shown: Recorder
) -> None:
    first = await made(stores, loaded, ada, {**INPUT, "pages": 2})
    money, moved = await api.assert_adds_up(ada.id), await api.movements(ada.id)
    again = await submitted(
        ada, {**INPUT, "pages": 2}, webhook_url=HOOK, metadata={"album": "summer"}
    )
    assert again["id"] != first["id"]
    assert (again["status"], again["progress"], again["stage"]) == ("succeeded", 1.0, "done")
    assert (again["cached_from"], first["cached_from"]) == (first["id"], None)
    assert (again["attempt"], again["started_at"]) == (0, None)
    assert again["finished_at"] == again["created_at"]
    assert (again["metadata"], again["seed"]) == ({"album": "summer"}, 7)
    assert (again["cost"]["estimated"], again["cost"]["charged"]) == (0, 0)
    assert [line["credits"] for line in again["cost"]["breakdown"]] == [6, -6]
    assert await content(again) == await content(first) == [b"hello 7", b"hello 7"]
    plain = ("name", "kind", "content_type", "bytes", "sha256")
    assert [[output[name] for name in plain] for output in again["outputs"]] == [
        [output[name] for name in plain] for output in first["outputs"]
    ]
    assert await api.assert_adds_up(ada.id) == money
    assert await api.movements(ada.id) == moved
    async with api.sessions() as session:
        assert await reconcile(session) == []
        told = (
            await session.scalars(
                select(Outbox.payload).where(Outbox.payload["job_id"].astext == again["id"])
            )
        ).all()
    assert told == [{"job_id": again["id"], "user_id": ada.id, "type": "job.succeeded"}]
    counts = await api.clients.queues["scribe"].counts()
    assert counts.waiting == 1, "the message of the first"
    usage = (await ada.get("/v1/usage", params={"by": "generator"})).json()
    assert [(row["jobs"], row["credits"]) for row in usage["data"]] == [(2, 6)]
    known = (await ada.get(f"/v1/jobs/{again['id']}/metadata")).json()
    document, logs = known["metadata"], known["logs"]
    assert (document["cached_from"], document["seed"], document["attempt"]) == (first["id"], 7, 0)
    (line,) = logs
    assert line["message"] == f"succeeded: 2 files copied from {first['id']}, 0 credits charged"
    assert shown.value(catalog.RESULT_CACHE, generator="scribe", found="result") == 1
    assert shown.value(catalog.RESULT_CACHE, generator="scribe", found="nothing") == 1
    assert (
        shown.value(catalog.JOBS_ENDED, generator="scribe", outcome="succeeded", fault="none") == 2
    )


async def test_streams_and_waits_of_such_a_job_end_at_once(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    await made(stores, loaded, ada)
    again = await submitted(ada)
    waited = await ada.get(f"/v1/jobs/{again['id']}", params={"wait": 60})
    assert waited.json()["status"] == "succeeded"
    events = (await ada.get(f"/v1/jobs/{again['id']}/events")).text
    assert [line for line in events.splitlines() if line.startswith("event:")] == [
        "event: status",
        "event: done",
    ]


@pytest.mark.parametrize("erased", ["first", "again"])
async def test_either_job_is_erased_without_the_other(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator, erased: str
) -> None:
    jobs = {"first": await made(stores, loaded, ada), "again": await submitted(ada)}
    assert (await ada.delete(f"/v1/jobs/{jobs[erased]['id']}")).status_code == 204
    (left,) = (job for name, job in jobs.items() if name != erased)
    assert await content((await ada.get(f"/v1/jobs/{left['id']}")).json()) == [b"hello 7"]
    files = (await ada.get("/v1/files")).json()["data"]
    assert len(files) == 1
    assert len(await copies(api, ada)) == (1 if erased == "first" else 0)
    following = await submitted(ada)
    assert following["cached_from"] == (None if erased == "first" else jobs["first"]["id"])


async def test_pictures_are_compared_by_their_content(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    red = {**INPUT, "pictures": [{"data": data_uri(picture())}]}
    first = await made(stores, loaded, ada, red)
    uploaded = (await upload(ada, picture())).json()["id"]
    by_id = await submitted(ada, {**INPUT, "pictures": [{"file_id": uploaded}]})
    assert by_id["cached_from"] == first["id"]
    inline = await submitted(ada, red)
    assert inline["cached_from"] == first["id"]
    own = inline["input"]["pictures"][0]["file_id"]
    assert (await ada.get(f"/v1/files/{own}")).status_code == 200
    assert own != first["input"]["pictures"][0]["file_id"]
    blue = {**INPUT, "pictures": [{"data": data_uri(picture(colour="blue"))}]}
    assert (await submitted(ada, blue))["status"] == "queued"


async def test_a_persona_that_was_changed_is_another_and_one_erased_is_none(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    persona = await saved(ada, description="red hair")
    given, path = {**INPUT, "persona": persona["id"]}, f"/v1/personas/{persona['id']}"
    first = await made(stores, loaded, ada, given)
    assert (await submitted(ada, given))["cached_from"] == first["id"]
    changed = await ada.patch(path, json={"description": "grey hair"})
    assert changed.status_code == 200, changed.text
    assert (await submitted(ada, given))["status"] == "queued"
    assert (await ada.delete(path)).status_code == 204
    body = {"generator": "scribe", "input": given}
    assert (await ada.post("/v1/jobs", json=body)).status_code == 422


async def test_an_input_that_names_an_earlier_job_is_known_by_that_job(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    earlier = await made(stores, loaded, ada)
    given = {"text": "on", "seed": 8, "earlier": earlier["id"]}
    first = await made(stores, loaded, ada, given)
    assert (await submitted(ada, given))["cached_from"] == first["id"]
    other = (await submitted(ada))["id"]
    assert (await submitted(ada, {**given, "earlier": other}))["status"] == "queued"


async def test_it_takes_neither_credits_nor_a_place_among_those_that_wait(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    first = await made(stores, loaded, ada, {**INPUT, "pages": 30})
    await submitted(ada, {"text": "dear", "pages": 3})  # takes what is left
    assert (await api.assert_adds_up(ada.id))[0] == 1
    refused = await ada.post("/v1/jobs", json={"generator": "scribe", "input": {"text": "x"}})
    assert refused.status_code == 402
    async with api.sessions.begin() as session:
        await session.execute(update(User).where(User.id == ada.id).values(max_waiting_jobs=1))
    again = await submitted(ada, {**INPUT, "pages": 30})
    assert again["cached_from"] == first["id"]


async def test_a_repeated_request_with_a_key_gets_the_same_job(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    await made(stores, loaded, ada)
    headers = {"Idempotency-Key": "once"}
    one = await submitted(ada, headers=headers)
    body = {"generator": "scribe", "input": INPUT}
    repeated = await ada.post("/v1/jobs", json=body, headers=headers)
    assert repeated.headers["idempotent-replayed"] == "true"
    assert repeated.json()["id"] == one["id"]
    assert len(await copies(api, ada)) == 1
    other = {"generator": "scribe", "input": {**INPUT, "text": "bye"}}
    problem(await ada.post("/v1/jobs", json=other, headers=headers), 422, "idempotency_mismatch")


@pytest.mark.parametrize("both", [True, False], ids=["all lines", "one line"])
async def test_lines_of_a_batch_are_there_at_once_and_counted(
    api: World, ada: Person, stores: Stores, loaded: LoadedGenerator, both: bool
) -> None:
    first = await made(stores, loaded, ada)
    second = INPUT if both else {**INPUT, "seed": 8}
    lines = [{"generator": "scribe", "input": given} for given in (INPUT, second)]
    form = {"priority": "normal", "webhook_url": HOOK}

    async def sent(**headers: str) -> dict[str, Any]:
        file = {"file": ("jobs.jsonl", jsonl(*lines))}
        answer = await ada.post("/v1/batches", files=file, data=form, headers=headers)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    batch = await sent()
    assert (batch["finished_at"] is not None) == both
    money = await api.assert_adds_up(ada.id)
    assert money == ((97, 0) if both else (94, 3))
    async with api.sessions() as session:
        assert await reconcile(session) == []
        row = await session.get_one(Batch, batch["id"])
        told = (await session.scalars(select(Outbox.natural_key))).all()
        jobs = (await session.scalars(select(Job).where(Job.batch_id == row.id))).all()
    assert (row.succeeded, row.credits_quoted) == ((2, 0) if both else (1, 3))
    assert (f"{row.id}:batch.finished" in told) == both
    assert sorted(job.cached_from or "" for job in jobs) == sorted(
        [first["id"], first["id"] if both else ""]
    )
    waiting = [job.id for job in jobs if job.status == "queued"]
    for job_id in waiting:
        assert await run_job(stores, loaded, job_id, 1) is not None
    done = (await ada.get(f"/v1/batches/{row.id}/results")).text.splitlines()
    assert len(done) == 2
    assert (await ada.get(f"/v1/batches/{row.id}")).json()["finished_at"] is not None
    await sent(**{"Cache-Control": "no-cache"})
    assert (await api.assert_adds_up(ada.id))[1] == 6, "all is made anew"


async def test_other_services_clients_have_it_at_once(
    ada: Person, stores: Stores, loaded: LoadedGenerator
) -> None:
    first = await made(stores, loaded, ada)
    body = {"input": INPUT}
    path = "/replicate/v1/models/atelier/scribe/predictions"
    predicted = await ada.post(path, json=body, headers={"Prefer": "wait"})
    assert predicted.status_code == 201, predicted.text
    assert (predicted.json()["status"], predicted.json()["metrics"]) == ("succeeded", {})
    assert len(predicted.json()["output"]) == 1
    queued = await ada.post("/fal/queue/atelier/scribe", json=INPUT)
    assert queued.json()["status"] == "COMPLETED"
    run = await ada.post("/fal/atelier/scribe", json=INPUT)
    assert run.status_code == 200, run.text
    stream = await ada.post("/fal/atelier/scribe/stream", json=INPUT)
    assert len([one for one in stream.text.splitlines() if one.startswith("data:")]) == 1
    jobs = (await ada.get("/v1/jobs")).json()["data"]
    assert [job["cached_from"] for job in jobs] == [first["id"]] * 4 + [None]
    for anew in (
        await ada.post(path, json=body, headers={"Cache-Control": "no-cache"}),
        await ada.post(
            "/fal/queue/atelier/scribe", json=INPUT, headers={"Cache-Control": "no-cache"}
        ),
    ):
        assert anew.json()["status"] in ("starting", "IN_QUEUE")


# What is made anew
