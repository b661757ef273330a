"""Personas over HTTP: saved with consent, named by jobs, erased with their pictures."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from db.errors import StoreUnavailable
from db.object_store import ObjectStore
from db.tables import AuditLog, File, Persona
from tests.integration.test_http_files import picture, upload
from tests.support.http import Person, World, problem
from tests.support.waiting import HANG_S

GONE = "file_01J00000000000000000000000"


async def file_id(person: Person, colour: str = "red", purpose: str = "reference") -> str:
    answer = await upload(person, picture(colour=colour), purpose=purpose)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def saved(person: Person, *file_ids: str, **fields: Any) -> dict[str, Any]:
    shown = list(file_ids) or [await file_id(person)]
    body = {"name": "Mira", "file_ids": shown, "consent": True, **fields}
    answer = await person.post("/v1/personas", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def consents(api: World, persona_id: str) -> list[tuple[str, str]]:
    query = select(AuditLog.action, AuditLog.actor).where(AuditLog.subject == persona_id)
    async with api.sessions() as session:
        return [
            (action, actor) for action, actor in await session.execute(query.order_by(AuditLog.id))
        ]


async def test_a_persona_is_saved_with_its_pictures_and_the_recorded_consent(
    api: World, ada: Person
) -> None:
    ids = [await file_id(ada, colour) for colour in ("red", "blue")]
    made = await saved(ada, *ids, description="a woman with red hair")
    assert (made["name"], made["description"]) == ("Mira", "a woman with red hair")
    assert [image["file_id"] for image in made["images"]] == ids
    assert "agreed" in made["consent"]["statement"]
    assert await consents(api, made["id"]) == [("persona.consent", ada.id)]
    looked = (await ada.get(f"/v1/personas/{made['id']}")).json()
    async with httpx.AsyncClient(timeout=HANG_S) as web:
        for image, colour in zip(looked["images"], ("red", "blue"), strict=True):
            assert (await web.get(image["url"])).content == picture(colour=colour)


async def test_references_are_taken_over_and_other_files_copied(
    ada: Person, objects: ObjectStore
) -> None:
    own, other = await file_id(ada), await file_id(ada, "blue", purpose="input")
    made = await saved(ada, other, own)
    first, second = (image["file_id"] for image in made["images"])
    assert second == own and first != other
    assert (await ada.delete(f"/v1/files/{other}")).status_code == 204
    stored = {one.key for one in await objects.list(f"references/{ada.id}/")}
    assert len(stored) == 2
    looked = (await ada.get(f"/v1/personas/{made['id']}")).json()
    async with httpx.AsyncClient(timeout=HANG_S) as web:
        assert (await web.get(looked["images"][0]["url"])).content == picture(colour="blue")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"consent": False}, "consent"),
        ({"file_ids": []}, "file_ids"),
        ({"file_ids": [GONE]}, "file_ids"),
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"strange": 1}, "strange"),
    ],
)
async def test_what_is_no_persona_is_refused_at_its_place(
    api: World, ada: Person, fields: dict[str, Any], place: str
) -> None:
    body = {"name": "Mira", "file_ids": [await file_id(ada)], "consent": True, **fields}
    answer = await ada.post("/v1/personas", json=body)
    assert place in problem(answer, 422, "bad_input")["errors"][0]["loc"]
    assert await api.count(Persona, ada.id) == 0


async def test_consent_must_be_said_and_pictures_be_pictures_of_ones_own(
    api: World, ada: Person
) -> None:
    mine = await file_id(ada)
    body = {"name": "Mira", "file_ids": [mine]}
    problem(await ada.post("/v1/personas", json=body), 422, "bad_input")
    twice = {**body, "file_ids": [mine, mine], "consent": True}
    problem(await ada.post("/v1/personas", json=twice), 422, "bad_input")
    eve = await api.guest()
    problem(await eve.post("/v1/personas", json=body | {"consent": True}), 422, "bad_input")
    sound = await upload(ada, b"ID3" + bytes(64), "a.mp3")
    wrong = {**body, "file_ids": [sound.json()["id"]], "consent": True}
    problem(await ada.post("/v1/personas", json=wrong), 422, "bad_input")


async def test_personas_are_listed_and_seen_by_their_owner_only(api: World, ada: Person) -> None:
    made = [(await saved(ada))["id"] for _ in range(3)]
    page = (await ada.get("/v1/personas", params={"limit": 2})).json()
    assert [one["id"] for one in page["data"]] == [made[2], made[1]]
    rest = (await ada.get("/v1/personas", params={"limit": 2, "after": page["next"]})).json()
    assert [one["id"] for one in rest["data"]] == [made[0]]
    eve = await api.guest()
    assert (await eve.get("/v1/personas")).json()["data"] == []
    for answer in (
        await eve.get(f"/v1/personas/{made[0]}"),
        await eve.patch(f"/v1/personas/{made[0]}", json={"name": "Eve"}),
        await eve.delete(f"/v1/personas/{made[0]}"),
        await ada.get("/v1/personas/per_'; DROP TABLE personas"),
    ):
        problem(answer, 404, "not_found")


async def test_a_change_of_pictures_needs_consent_anew(api: World, ada: Person) -> None:
    made = await saved(ada)
    path, other = f"/v1/personas/{made['id']}", await file_id(ada, "blue")
    problem(await ada.patch(path, json={"file_ids": [other]}), 422, "bad_input")
    named = (await ada.patch(path, json={"name": "Mirabel"})).json()
    assert (named["name"], named["images"][0]["file_id"]) == (
        "Mirabel",
        made["images"][0]["file_id"],
    )
    shown = (await ada.patch(path, json={"file_ids": [other], "consent": True})).json()
    assert [image["file_id"] for image in shown["images"]] == [other]
    assert shown["consent"]["at"] > made["consent"]["at"]
    assert len(await consents(api, made["id"])) == 2


async def test_a_repeated_request_saves_one_persona(api: World, ada: Person) -> None:
    body = {"name": "Mira", "file_ids": [await file_id(ada)], "consent": True}
    headers = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(ada.post("/v1/personas", json=body, headers=headers) for _ in range(5))
    )
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await api.count(Persona, ada.id) == 1
    other = await ada.post("/v1/personas", json=body | {"name": "Eve"}, headers=headers)
    problem(other, 422, "idempotency_mismatch")


async def test_a_deleted_persona_leaves_only_the_record_of_consent(
    api: World, ada: Person, objects: ObjectStore
) -> None:
    shared, own = await file_id(ada), await file_id(ada, "blue")
    other, made = await saved(ada, shared), await saved(ada, shared, own)
    path = f"/v1/personas/{made['id']}"
    assert (await ada.delete(path)).status_code == 204
    problem(await ada.get(path), 404, "not_found")
    problem(await ada.delete(path), 404, "not_found")
    assert (await ada.get(f"/v1/files/{own}")).status_code == 404
    kept = (await ada.get(f"/v1/personas/{other['id']}")).json()
    assert [image["file_id"] for image in kept["images"]] == [shared]
    assert len(await objects.list(f"references/{ada.id}/")) == 1
    assert [action for action, _ in await consents(api, made["id"])] == [
        "persona.consent",
        "persona.deleted",
    ]


async def test_deleting_goes_on_after_the_object_store_was_down(
    api: World, ada: Person, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await saved(ada)
    path = f"/v1/personas/{made['id']}"

    async def down(_: object) -> None:
        raise StoreUnavailable("objects", "down")

    with monkeypatch.context() as patched:
        patched.setattr(api.clients.objects, "delete", down)
        problem(await ada.delete(path), 503, "unavailable")
    assert (await ada.get(path)).status_code == 200
    assert (await ada.delete(path)).status_code == 204
    assert await objects.list(f"references/{ada.id}/") == []


async def test_a_job_names_a_persona_of_ones_own_that_has_pictures(api: World, ada: Person) -> None:
    made = await saved(ada)

    async def submit(person: Person) -> httpx.Response:
        given = {"text": "x", "persona": made["id"]}
        return await person.post("/v1/jobs", json={"generator": "scribe", "input": given})

    assert (await submit(ada)).json()["input"]["persona"] == made["id"]
    refused = problem(await submit(await api.guest()), 422, "bad_input")
    assert refused["errors"][0]["loc"] == ["input", "persona"]
    await ada.delete(f"/v1/files/{made['images'][0]['file_id']}")
    refused = problem(await submit(ada), 422, "bad_input")
    assert "without pictures" in refused["errors"][0]["msg"]
    async with api.sessions() as session:
        left = list(await session.scalars(select(File).where(File.user_id == ada.id)))
    assert [file.deleted_at is not None for file in left] == [True]


async def test_a_key_without_the_scope_may_not(ada: Person, api: World) -> None:
    key = (await ada.post("/v1/api-keys", json={"name": "jobs", "scopes": ["jobs:read"]})).json()[
        "key"
    ]
    answer = await api.http.get("/v1/personas", headers={"X-API-Key": key})
    problem(answer, 403, "scope_missing")
