"""Uploads straight to the object store, in parts, interrupted and gone on with."""

import asyncio
import hashlib
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from db.object_store import ObjectStore
from db.tables import File
from serve_app.files import direct_uploads
from serve_app.files.direct_uploads import PART_BYTES
from tests.support.http import Person, World
from tests.support.waiting import HANG_S


def picture(side: int) -> bytes:
    """A PNG of noise, which takes three bytes a pixel."""
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


SMALL, LARGE = picture(16), picture(2000)  # one part; two parts


async def announced(person: Person, content: bytes, **more: Any) -> dict[str, Any]:
    body = {"name": "photo.png", "bytes": len(content), **more}
    answer = await person.post("/v1/files/uploads", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def send_piece(
    part: dict[str, Any], piece: bytes, store: httpx.AsyncClient | None = None
) -> None:
    form: dict[str, Any] = {"data": part["fields"], "files": {"file": piece}}
    if store is None:
        async with httpx.AsyncClient(timeout=90) as store:
            answer = await store.post(part["url"], **form)
    else:
        answer = await store.post(part["url"], **form)
    answer.raise_for_status()


async def send(upload: dict[str, Any], content: bytes, *numbers: int) -> None:
    async with httpx.AsyncClient(timeout=90) as store:
        for part in upload["parts"]:
            if part["number"] in numbers or not numbers:
                begin = (part["number"] - 1) * upload["part_bytes"]
                await send_piece(part, content[begin : begin + part["bytes"]], store)


async def complete(person: Person, upload: dict[str, Any]) -> httpx.Response:
    return await person.post(f"/v1/files/uploads/{upload['id']}/complete")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["one part", "two parts"])
async def test_parts_become_a_file_like_any_other(ada: Person, content: bytes) -> None:
    upload = await announced(ada, content, purpose="reference")
    assert upload["part_bytes"] == PART_BYTES
    assert sum(part["bytes"] for part in upload["parts"]) == len(content)
    await send(upload, content)
    made = await complete(ada, upload)
    assert made.status_code == 201, made.text
    file = made.json()
    assert (file["content_type"], file["purpose"]) == ("image/png", "reference")
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    async with httpx.AsyncClient(timeout=HANG_S) as store:
        assert (await store.get(file["url"])).content == content
    assert (await ada.get(f"/v1/files/{file['id']}")).json()["bytes"] == len(content)
    assert (await complete(ada, upload)).json()["id"] == file["id"], "once more changes nothing"


async def test_an_upload_that_was_interrupted_goes_on(ada: Person) -> None:
    upload = await announced(ada, LARGE)
    await send(upload, LARGE, 2)
    early = await complete(ada, upload)
    assert (early.status_code, early.json()["code"]) == (409, "upload_incomplete")
    assert early.json()["missing"] == [1]
    again = (await ada.get(f"/v1/files/uploads/{upload['id']}")).json()
    assert [part["arrived"] for part in again["parts"]] == [False, True]
    for other in (LARGE[:1000], LARGE[: PART_BYTES + 1]):
        with pytest.raises(httpx.HTTPStatusError):  # the store takes nothing of another size
            await send_piece(again["parts"][0], other)
    assert (await complete(ada, upload)).json()["missing"] == [1]
    await send(again, LARGE, 1)
    assert (await complete(ada, upload)).status_code == 201


async def test_a_process_that_ends_in_the_middle_of_completing_leaves_one_file(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await announced(ada, SMALL)
    await send(upload, SMALL)

    class Killed(BaseException):
        pass

    async def killed(*_: Any) -> None:
        raise Killed

    for step in ("insert_file", "_compose"):
        with monkeypatch.context() as patch:
            patch.setattr(direct_uploads, step, killed)
            with pytest.raises(Killed):
                await direct_uploads.complete(api.clients, ada.id, upload["id"])
    answers = await asyncio.gather(*(complete(ada, upload) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    async with api.sessions() as session:
        assert await session.scalar(select(func.count()).select_from(File)) == 1


async def test_what_is_no_picture_becomes_no_file(ada: Person, objects: ObjectStore) -> None:
    upload = await announced(ada, b"no picture")
    await send(upload, b"no picture")
    refused = await complete(ada, upload)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "unreadable_file")
    assert (await ada.get("/v1/files")).json()["data"] == []
    assert await objects.list(f"inputs/{ada.id}/") == []
    assert await objects.list(f"temp/{ada.id}/") == [], "the upload is forgotten"


async def test_limits_owners_and_an_end(api: World, ada: Person, objects: ObjectStore) -> None:
    large = await ada.post("/v1/files/uploads", json={"name": "a", "bytes": 60_000_001})
    assert large.status_code == 413
    assert (await ada.post("/v1/files/uploads", json={"name": "a", "bytes": 0})).status_code == 422
    upload = await announced(ada, SMALL)
    await send(upload, SMALL)
    eve, path = await api.guest(), f"/v1/files/uploads/{upload['id']}"
    answers = [await eve.get(path), await eve.post(f"{path}/complete"), await eve.delete(path)]
    assert {answer.status_code for answer in answers} == {404}
    assert (await ada.delete(path)).status_code == 204
    assert await objects.list(f"temp/{ada.id}/") == []
    assert (await complete(ada, upload)).status_code == 404


async def test_a_user_has_so_many_unfinished_ones(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_uploads, "MAX_PENDING", 2)
    for _ in range(2):
        await announced(ada, SMALL)
    more = await ada.post("/v1/files/uploads", json={"name": "a", "bytes": 1})
    assert (more.status_code, more.json()["code"]) == (409, "too_many_uploads")


async def test_a_part_that_is_replaced_while_it_is_completed_makes_no_file(
    ada: Person, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await announced(ada, SMALL)
    await send(upload, SMALL)
    compose = ObjectStore.compose

    async def slowly(self: ObjectStore, sources: list[str], key: str) -> None:
        await objects.put_bytes(sources[0], SMALL * 2, "image/png")
        await compose(self, sources, key)

    monkeypatch.setattr(ObjectStore, "compose", slowly)
    answer = await complete(ada, upload)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")
    assert await objects.list(f"inputs/{ada.id}/") == []
