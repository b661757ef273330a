"""Files over HTTP, and inputs that point at them."""

import base64
import hashlib
import io
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import func, select

from db.object_store import ObjectStore
from db.tables import File, Job
from tests.support.http import Person, World
from tests.support.objects import exists
from tests.support.waiting import HANG_S

GONE = "file_01J00000000000000000000000"


def picture(form: str = "PNG", colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, form)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def upload(person: Person, content: bytes, name: str = "a.png", **form: str) -> Any:
    return await person.post("/v1/files", files={"file": (name, content)}, data=form)


async def file_id(person: Person) -> str:
    answer = await upload(person, picture())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def scribe(person: Person, **given: Any) -> httpx.Response:
    body = {"generator": "scribe", "input": {"text": "hello", **given}}
    return await person.post("/v1/jobs", json=body)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
async def test_a_picture_is_known_by_its_content_and_comes_back_whole(
    ada: Person, form: str
) -> None:
    answer = await upload(ada, picture(form), "../../etc/what ever?.txt", purpose="reference")
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert file["content_type"] == f"image/{form.lower()}"
    assert (file["purpose"], file["name"]) == ("reference", "what ever_.txt")
    assert (await ada.get(f"/v1/files/{file['id']}")).json()["sha256"] == file["sha256"]
    async with httpx.AsyncClient(timeout=HANG_S) as web:
        assert (await web.get(file["url"])).content == picture(form)


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "image/heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif", "image/avif"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc", "image/heic"),
        (b"\0\0\0\x18ftypavis\0\0\0\0avismsf1", "image/avif"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n", "image/vnd.radiance"),
        (b"II+\0\x08\0\0\0", "image/tiff"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42", "audio/mp4"),
    ],
)
async def test_newer_formats_are_known_by_their_first_bytes(
    ada: Person, head: bytes, content_type: str
) -> None:
    answer = await upload(ada, head + bytes(64), "a.bin")
    assert answer.status_code == 201, answer.text
    assert answer.json()["content_type"] == content_type


async def test_a_film_is_no_picture_and_no_sound(ada: Person) -> None:
    for brands in (b"ftypisom\0\0\0\0isommp42", b"ftypmif1\0\0\0\0mif1jpeg"):
        answer = await upload(ada, b"\0\0\0\x18" + brands + bytes(64))
        assert answer.status_code == 422


async def test_wrapped_data_are_stored_as_they_were_meant(ada: Person) -> None:
    wrapped = base64.encodebytes(picture()).decode()
    answer = await scribe(ada, pictures=[{"data": f"data:image/png;base64,{wrapped}"}])
    assert answer.status_code == 202, answer.text
    kept = answer.json()["input"]["pictures"][0]["file_id"]
    file = (await ada.get(f"/v1/files/{kept}")).json()
    assert file["sha256"] == hashlib.sha256(picture()).hexdigest()


async def test_damaged_data_are_told_where(ada: Person) -> None:
    whole = data_uri(picture())
    damaged = f"{whole[:40]}*{whole[40:]}"
    answer = await scribe(ada, pictures=[{"data": whole}, {"data": damaged}])
    (error,) = answer.json()["errors"]
    assert error["loc"] == ["input", "pictures", 1]
    assert "character 41 is U+002A (*)" in error["msg"]


@pytest.mark.parametrize(
    "content", [b"", b"words", b"<svg/>", b"%PDF-1.7", b"\x7fELF", b"MZ", b"PK\x03\x04"]
)
async def test_what_is_no_picture_and_no_sound_is_refused(ada: Person, content: bytes) -> None:
    answer = await upload(ada, content, "picture.png")
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"] == ["file"]
    assert (await ada.get("/v1/files")).json()["data"] == []


async def test_files_are_listed_newest_first_and_only_to_their_owner(
    api: World, ada: Person
) -> None:
    first, second = await file_id(ada), await file_id(ada)
    listed = (await ada.get("/v1/files", params={"purpose": "input"})).json()["data"]
    assert [file["id"] for file in listed] == [second, first]
    eve = await api.guest()
    assert (await eve.get("/v1/files")).json()["data"] == []
    assert (await eve.get(f"/v1/files/{first}")).status_code == 404
    assert (await eve.delete(f"/v1/files/{first}")).status_code == 404
    assert (await ada.get(f"/v1/files/{first}")).status_code == 200


async def test_a_deleted_file_is_gone_with_its_object(ada: Person, objects: ObjectStore) -> None:
    known = await file_id(ada)
    assert (await ada.delete(f"/v1/files/{known}")).status_code == 204
    assert (await ada.get(f"/v1/files/{known}")).status_code == 404
    assert (await ada.delete(f"/v1/files/{known}")).status_code == 404
    assert await objects.list(f"inputs/{ada.id}/") == []
    refused = await scribe(ada, pictures=[{"file_id": known}])
    assert refused.status_code == 422


async def test_data_are_stored_and_the_row_names_the_file(
    ada: Person, api: World, objects: ObjectStore
) -> None:
    answer = await scribe(ada, pictures=[{"data": data_uri(picture())}])
    assert answer.status_code == 202, answer.text
    job = answer.json()
    (kept,) = job["input"]["pictures"]
    async with api.sessions() as session:
        row = await session.get(File, kept["file_id"])
    assert row is not None
    assert (row.job_id, row.purpose, row.name) == (job["id"], "input", "pictures.0.png")
    assert row.object_key == f"inputs/{ada.id}/{job['id']}/pictures.0.png"
    assert await exists(objects, row.object_key)


async def eves(api: World) -> dict[str, str]:
    return {"file_id": await file_id(await api.guest())}


REFUSED: dict[str, Any] = {
    "not there": {"file_id": GONE},
    "no id": {"file_id": "../../etc"},
    "words as data": {"data": data_uri(b"words")},
    "sound as picture": {"data": data_uri(b"ID3" + bytes(64), "audio/mpeg")},
    "not base64": {"data": "data:image/png;base64,%%%"},
    "no form": {},
    "two forms": {"file_id": GONE, "url": "https://example.com/a.png"},
    "a file address": {"url": "file:///etc/passwd"},
    "somebody else's": eves,
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_cannot_be_had_is_refused_at_its_place_and_holds_nothing(
    api: World, ada: Person, fault: str
) -> None:
    given = REFUSED[fault]
    given = await given(api) if callable(given) else given
    before = (await ada.get("/v1/credits")).json()
    for answer in (
        await scribe(ada, pictures=[{"data": data_uri(picture())}, given]),
        await ada.post(
            "/v1/generators/scribe/quote", json={"input": {"text": "x", "pictures": [given]}}
        ),
    ):
        assert answer.status_code == 422, answer.text
        places = [error["loc"][:2] for error in answer.json()["errors"]]
        assert places == [["input", "pictures"]] * len(places)
    assert (await ada.get("/v1/credits")).json() == before
    async with api.sessions() as session:
        assert await session.scalar(select(func.count(Job.id)).where(Job.user_id == ada.id)) == 0


async def test_a_job_is_named_only_by_its_owner_and_once_it_succeeded(
    api: World, ada: Person
) -> None:
    waiting = (await scribe(ada)).json()["id"]
    refused = await scribe(ada, earlier=waiting)
    assert refused.json()["errors"][0]["loc"] == ["input", "earlier"]


async def test_a_repeated_request_with_data_makes_one_job(ada: Person) -> None:
    body = {
        "generator": "scribe",
        "input": {"text": "x", "pictures": [{"data": data_uri(picture())}]},
    }
    headers = {"Idempotency-Key": "once"}
    first, second = [await ada.post("/v1/jobs", json=body, headers=headers) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotent-replayed"] == "true"
    body["input"]["pictures"] = [{"data": data_uri(picture(colour="blue"))}]  # type: ignore[index]
    assert (await ada.post("/v1/jobs", json=body, headers=headers)).status_code == 422


async def test_media_may_be_large_where_they_belong_and_nowhere_else(ada: Person) -> None:
    large = "x" * 2_000_000
    answer = await ada.post("/v1/jobs", json={"generator": "scribe", "input": {"text": large}})
    assert answer.status_code == 202, answer.text[:200]
    assert (await ada.post("/v1/api-keys", json={"name": large})).status_code == 413
