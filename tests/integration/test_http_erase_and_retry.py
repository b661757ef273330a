"""Jobs made again, and jobs erased, over HTTP."""

from typing import Any

import pytest

from db.errors import StoreUnavailable
from db.ids import new_id
from db.object_store import ObjectStore, output_key, temp_key
from db.tables import File, Job
from tests.integration.test_http_files import data_uri, picture
from tests.support.http import Person, World, problem


@pytest.fixture
def api_generators() -> list[str]:
    return ["tests.support.scribe", "deployments.generators.story_video"]


async def submitted(person: Person, generator: str = "scribe", **given: Any) -> dict[str, Any]:
    given = given or {"text": "hello", "pictures": [{"data": data_uri(picture())}]}
    body = {"generator": generator, "input": given, "metadata": {"album": "summer"}}
    answer = await person.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ended(api: World, person: Person, job_id: str, status: str = "succeeded") -> None:
    """End the job as a replica does, with an output, a leftover and something temporary."""
    outputs = []
    if status == "succeeded":
        key = output_key(person.id, job_id, 1, "page-0.txt")
        await api.clients.objects.put_bytes(key, b"words", "text/plain")
        row = File(id=new_id("file"), user_id=person.id, job_id=job_id, purpose="output",
                   object_key=key, name="page-0.txt", content_type="text/plain", bytes=5,
                   sha256="")  # fmt: skip
        async with api.sessions.begin() as session:
            session.add(row)
        outputs = [
            {
                "name": row.name, "kind": "text", "content_type": "text/plain", "bytes": 5,
                "sha256": "", "object_key": key,
            }
        ]  # fmt: skip
    leftover = output_key(person.id, job_id, 2, "page-0.txt")
    for key in (leftover, temp_key(job_id, "preview.jpg"), temp_key(job_id, "kept-scene")):
        await api.clients.objects.put_bytes(key, b"x", "text/plain")
    await api.clients.documents.merge(job_id, {"prompt": "hello"})
    async with api.sessions.begin() as session:
        job = await session.get_one(Job, job_id)
        job.status, job.attempt = "running", 1
        job.heartbeat_at = job.created_at
    await api.end(job_id, status, 1.0 if status == "succeeded" else 0.0, outputs)


async def test_an_erased_job_leaves_nothing_but_what_it_cost(
    api: World, ada: Person, objects: ObjectStore
) -> None:
    job = await submitted(ada)
    await ended(api, ada, job["id"])
    before = await api.assert_adds_up(ada.id)
    path = f"/v1/jobs/{job['id']}"
    assert (await ada.delete(path)).status_code == 204
    for answer in (
        await ada.get(path),
        await ada.delete(path),
        await ada.get(f"{path}/metadata"),
        await ada.get(f"{path}/events"),
        await ada.post(f"{path}/retry"),
    ):
        problem(answer, 404, "not_found")
    assert (await ada.get("/v1/jobs")).json()["data"] == []
    assert (await ada.get("/v1/files")).json()["data"] == []
    for prefix in (f"inputs/{ada.id}/", f"outputs/{ada.id}/", f"temp/{job['id']}/"):
        assert await objects.list(prefix) == [], prefix
    assert await api.clients.documents.get(job["id"]) is None
    assert await api.assert_adds_up(ada.id) == before
    async with api.sessions() as session:
        row = await session.get_one(Job, job["id"])
    assert (row.status, row.credits_charged, row.input) == ("succeeded", 3, {})
    assert (row.outputs, row.user_metadata) == ([], {})
    kinds = [one["kind"] for one in (await ada.get("/v1/credits/transactions")).json()["data"]]
    assert kinds == ["capture", "hold", "grant"]


async def test_a_job_that_has_not_ended_is_neither_erased_nor_retried(
    api: World, ada: Person
) -> None:
    job = await submitted(ada)
    problem(await ada.delete(f"/v1/jobs/{job['id']}"), 409, "job_not_final")
    problem(await ada.post(f"/v1/jobs/{job['id']}/retry"), 409, "job_not_final")
    assert (await ada.post(f"/v1/jobs/{job['id']}/cancel")).json()["status"] == "canceled"
    assert (await ada.delete(f"/v1/jobs/{job['id']}")).status_code == 204


async def test_erasing_goes_on_after_the_object_store_was_down(
    api: World, ada: Person, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submitted(ada)
    await ended(api, ada, job["id"])

    async def down(_: object) -> None:
        raise StoreUnavailable("objects", "down")

    path = f"/v1/jobs/{job['id']}"
    with monkeypatch.context() as patched:
        patched.setattr(api.clients.objects, "delete", down)
        problem(await ada.delete(path), 503, "unavailable")
    assert (await ada.get(path)).json()["outputs"]
    assert (await ada.delete(path)).status_code == 204
    assert await objects.list(f"outputs/{ada.id}/") == []


async def test_a_key_whose_job_was_erased_makes_no_second_one(api: World, ada: Person) -> None:
    body = {"generator": "scribe", "input": {"text": "hello"}}
    headers = {"Idempotency-Key": "once"}
    job = (await ada.post("/v1/jobs", json=body, headers=headers)).json()
    await ada.post(f"/v1/jobs/{job['id']}/cancel")
    await ada.delete(f"/v1/jobs/{job['id']}")
    problem(await ada.post("/v1/jobs", json=body, headers=headers), 404, "not_found")
    assert await api.count(Job, ada.id) == 1


async def test_a_retry_is_a_new_job_with_the_same_input_and_its_own_price(
    api: World, ada: Person
) -> None:
    job = await submitted(ada)
    await ended(api, ada, job["id"], "failed")
    answer = await ada.post(f"/v1/jobs/{job['id']}/retry")
    assert answer.status_code == 202, answer.text
    again = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{again['id']}"
    assert again["id"] != job["id"]
    for name in ("generator", "input", "seed", "metadata", "priority"):
        assert again[name] == job[name], name
    assert (again["status"], again["cost"]["estimated"]) == ("queued", 3)
    assert await api.movements(ada.id) == {"hold": 2, "release": 1}
    assert (await api.assert_adds_up(ada.id))[1] == 3


async def test_a_repeated_retry_makes_one_job_and_an_unpaid_one_none(
    api: World, ada: Person
) -> None:
    job = await submitted(ada)
    await ended(api, ada, job["id"], "failed")
    path, headers = f"/v1/jobs/{job['id']}/retry", {"Idempotency-Key": "again"}
    first, second = [await ada.post(path, headers=headers) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    dear = await submitted(ada, text="x", pages=2)
    await ended(api, ada, dear["id"], "failed")
    assert (await submitted(ada, text="x", pages=2))["status"] == "queued"
    problem(await ada.post(f"/v1/jobs/{dear['id']}/retry"), 402, "not_enough_credits")


async def test_somebody_elses_job_is_not_there(api: World, ada: Person) -> None:
    job, eve = await submitted(ada), await api.guest()
    problem(await eve.delete(f"/v1/jobs/{job['id']}"), 404, "not_found")
    problem(await eve.post(f"/v1/jobs/{job['id']}/retry"), 404, "not_found")


async def test_one_scene_of_a_film_is_made_anew_and_only_of_a_film(api: World) -> None:
    ada = await api.person(credits=500)
    film = await submitted(ada, "story_video", story="A fox sleeps. " * 20)
    await ended(api, ada, film["id"])
    again = (await ada.post(f"/v1/jobs/{film['id']}/retry", json={"scene": 1})).json()
    seed = again["input"].pop("seed")
    assert again["input"] == {"earlier": film["id"], "scenes": [1]}
    assert seed != film["seed"]
    page = await submitted(ada)
    await ended(api, ada, page["id"])
    refused = await ada.post(f"/v1/jobs/{page['id']}/retry", json={"scene": 1})
    assert problem(refused, 422, "bad_input")["errors"][0]["code"] == "no_scenes"
