"""What an input points at reaches the generator, or the job fails, says why and costs nothing."""

import asyncio
import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from db.accounts import personas
from db.ids import new_id
from db.jobs import queries
from db.object_store import input_key
from db.tables import File, Persona
from deployments.stores import Stores
from deployments.worker import inputs
from deployments.worker.runner import LoadedGenerator, run_job
from tests.support.held_scribe import HeldScribe
from tests.support.jobs import lose, money, new_user, submit
from tests.support.scribe import SPEC
from tests.support.waiting import until


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


async def a_file(stores: Stores, user_id: str, content: bytes = b"") -> str:
    content = content or picture()
    row = File(id=new_id("file"), user_id=user_id, purpose="input", name="a.png",
               content_type="image/png", bytes=len(content), sha256="", object_key="")  # fmt: skip
    row.object_key = input_key(user_id, row.id, "a.png")
    await stores.objects.put_bytes(row.object_key, content, "image/png")
    async with stores.sessions.begin() as session:
        session.add(row)
        await session.flush()
        return row.id


async def noted(stores: Stores, job_id: str) -> Any:
    document = await stores.documents.get(job_id)
    assert document is not None
    return document["notes"]


async def test_files_data_and_earlier_outputs_lie_in_the_work_folder(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    first = await submit(stores.sessions, SPEC, user_id, text="first", pages=2)
    await run_job(stores, loaded, first, 1)
    known = await a_file(stores, user_id)
    data = "data:image/png;base64,AAAA"
    job_id = await submit(
        stores.sessions, SPEC, user_id,
        text="x", pictures=[{"file_id": known}, {"data": data}], earlier=first,
    )  # fmt: skip
    ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None and ended.status == "succeeded"
    told = await noted(stores, job_id)
    assert told["inputs"] == {"pictures.0": len(picture()), "pictures.1": 3}
    assert told["earlier"] == {first: ["page-0.txt", "page-1.txt"]}


async def test_an_address_is_fetched_and_a_private_one_only_where_that_is_allowed(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png"
        allowed = await submit(stores.sessions, SPEC, user_id, text="x", pictures=[{"url": url}])
        await run_job(stores, loaded, allowed, 1)
        assert (await noted(stores, allowed))["inputs"] == {"pictures.0": 5}
        refused = await submit(stores.sessions, SPEC, user_id, text="x", pictures=[{"url": url}])
        ended = await run_job(stores, replace(loaded, private_addresses=False), refused, 1)
    assert ended is not None and ended.error is not None
    assert (ended.status, ended.error["code"]) == ("failed", "input_unreachable")
    assert ended.error["detail"] == "pictures.0: only public addresses are allowed."


@pytest.mark.parametrize("fault", ["no row", "somebody else's", "no object", "too large"])
async def test_what_is_gone_fails_the_job_and_costs_nothing(
    stores: Stores,
    loaded: LoadedGenerator,
    user_id: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = await a_file(stores, user_id)
    if fault == "no row":
        known = new_id("file")
    if fault == "somebody else's":
        known = await a_file(stores, await new_user(stores.sessions))
    if fault == "no object":
        await stores.objects.delete([input_key(user_id, known, "a.png")])
    if fault == "too large":
        monkeypatch.setitem(inputs.MAX_BYTES, "image", 10)
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", pictures=[{"file_id": known}])
    ended = await run_job(stores, loaded, job_id, 1)
    assert ended is not None and ended.error is not None
    code = "input_too_large" if fault == "too large" else "input_missing"
    assert (ended.status, ended.error["code"], ended.credits_charged) == ("failed", code, 0)
    assert await money(stores.sessions, user_id) == (100, 0)


async def test_a_persona_brings_its_pictures_until_it_is_deleted(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    shown = [await a_file(stores, user_id) for _ in range(2)]
    persona = Persona(id=new_id("per"), user_id=user_id, name="Mira", description="a woman",
                      consented_at=datetime.now(UTC), consent="yes")  # fmt: skip
    async with stores.sessions.begin() as session:
        session.add(persona)
        await session.flush()
        await personas.set_pictures(session, persona.id, shown)
    job = await submit(stores.sessions, SPEC, user_id, text="x", persona=persona.id)
    await run_job(stores, loaded, job, 1)
    size = len(picture())
    assert (await noted(stores, job))["personas"] == [["Mira", "a woman", [size, size]]]

    job = await submit(stores.sessions, SPEC, user_id, text="x", persona=persona.id)
    async with stores.sessions.begin() as session:
        await session.delete(await session.get_one(Persona, persona.id))
    await run_job(stores, loaded, job, 1)
    async with stores.sessions() as session:
        row = await queries.get(session, job)
    assert row is not None and row.error is not None
    assert (row.status, row.error["code"], row.credits_charged) == ("failed", "persona_missing", 0)


async def test_a_later_attempt_goes_on_from_what_a_lost_one_kept(
    stores: Stores, loaded: LoadedGenerator, user_id: str
) -> None:
    job_id = await submit(stores.sessions, SPEC, user_id, text="x", pages=3, keep=True)
    held = HeldScribe(pages=2)
    lost = asyncio.create_task(run_job(stores, replace(loaded, generator=held), job_id, 1))

    async def two_are_kept() -> bool:
        return len(await stores.objects.list(f"temp/{job_id}/kept-")) >= 2

    await until(two_are_kept)
    await lose(stores.sessions, job_id, 1)
    ended = await run_job(stores, loaded, job_id, 2)
    held.released.set()
    assert await lost is None, "the row was no longer its own"
    assert ended is not None and ended.status == "succeeded"
    assert [output["name"] for output in ended.outputs] == [f"page-{n}.txt" for n in range(3)]
    assert (await noted(stores, job_id))["kept"][:2] == ["page-0.txt", "page-1.txt"]
