"""What a body may cost: a stranger's is not read, a customer's has bounds."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from db.session import Sessions
from db.settings import StoreSettings
from serve_app.http import body
from tests.support.http import Person, World, problem, served
from tests.support.waiting import until

MB = 1_000_000
CHUNK = bytes(1 << 18)
# What is on its way in the sockets' buffers when the answer comes.
ON_THE_WAY_MB = 12


@pytest.fixture
async def door(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    """The API behind a real server, which answers while a body is still on its way."""
    async with served(store_settings) as world:
        yield world


async def send(world: World, head: str, size: int) -> tuple[str, int]:
    """Send ``size`` bytes until the answer comes; returns its status line and the bytes sent."""
    assert world.door is not None
    host, port = world.door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}Host: x\r\nContent-Length: {size}\r\n\r\n".encode())
    answer = asyncio.create_task(reader.readline())
    sent = 0
    with suppress(OSError):
        while sent < size and not answer.done():
            writer.write(CHUNK[: size - sent])
            await writer.drain()
            sent += len(CHUNK)
            await asyncio.sleep(0)
    line = (await asyncio.wait_for(answer, 60)).decode()
    writer.close()
    return line, sent


@pytest.mark.parametrize(
    "head",
    [
        "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\n",
        "POST /v1/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n",
        "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\n"
        "X-API-Key: atl_this-is-nobodys-key\r\n",
    ],
)
async def test_a_strangers_sixty_megabytes_are_not_read(door: World, head: str) -> None:
    await send(door, head, 1000)  # whatever the first request loads
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line, sent = await send(door, head, 60 * MB)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    assert " 401 " in line
    assert sent < ON_THE_WAY_MB * MB
    assert grown_mb < 10


async def test_a_stranger_may_send_no_more_than_a_password(api: World) -> None:
    account = {"email": "a@example.com", "password": "x" * 20_000}
    answer = await api.http.post("/v1/auth/register", json=account)
    assert "16384" in problem(answer, 413, "too_large")["detail"]


async def test_a_body_that_stops_coming_is_answered(
    door: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "SILENCE_S", 0.2)
    head = "POST /v1/auth/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    assert door.door is not None
    host, port = door.door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}Host: x\r\nContent-Length: 100\r\n\r\nusername=".encode())
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 60)
    assert b"request_timeout" in await asyncio.wait_for(reader.read(), 60)  # and it is closed
    writer.close()


async def test_a_body_that_drips_is_answered(door: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "GRACE_S", 0.1)
    assert door.door is not None
    host, port = door.door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /v1/auth/register HTTP/1.1\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Host: x\r\nContent-Length: 1000\r\n\r\n".encode())
    answer = asyncio.create_task(reader.readline())
    while not answer.done():
        writer.write(b" ")
        await asyncio.wait({answer}, timeout=0.05)
    assert b" 408 " in answer.result()
    writer.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" + b"[]," * 60_000 + b"[]]", "values"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "levels"),
        (b"[" * 50_000, "levels"),
    ],
    ids=["wide", "deep", "endless"],
)
async def test_json_has_a_bounded_number_of_values_and_levels(
    ada: Person, content: bytes, words: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await ada.post("/v1/jobs", content=content, headers=headers)
    found = problem(answer, 422, "bad_input")
    assert words in found["detail"]
    assert found["errors"][0]["code"] == "json_too_complex"


async def test_json_with_too_many_values_is_not_read_to_its_end(api: World, ada: Person) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"["
        for _ in range(100):
            sent += 1
            yield b"[]," * 20_000

    headers = {"Content-Type": "application/json"}
    answer = await ada.post("/v1/jobs", content=pieces(), headers=headers)
    problem(answer, 422, "bad_input")
    assert sent <= 4


async def test_a_text_with_many_commas_is_no_json_with_many_values(ada: Person) -> None:
    prompt = "red, round, shiny, " * 20
    answer = await ada.post("/v1/generators/scribe/quote", json={"input": {"text": prompt}})
    assert answer.status_code in (200, 422)
    assert "json_too_complex" not in answer.text


async def test_large_bodies_come_in_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds no place in time, of the user's or of all, is told to come back."""
    monkeypatch.setattr(body, "WAIT_S", 0.05)
    monkeypatch.setattr(body, "MAX_COMING_IN", 4)
    monkeypatch.setattr(body, "MAX_COMING_IN_PER_USER", 2)
    bodies = body.LargeBodies()
    async with bodies.take_in("ada"), bodies.take_in("ada"):
        with pytest.raises(body.Unavailable):
            async with bodies.take_in("ada"):
                pass
        async with bodies.take_in("ben"), bodies.take_in("cy"):
            with pytest.raises(body.Unavailable):
                async with bodies.take_in("dan"):
                    pass
        async with bodies.take_in("ben"):
            pass


async def test_senders_that_stall_keep_nobody_from_sending(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as may be answered at a time stop in the middle of a large body."""
    monkeypatch.setattr(body, "SILENCE_S", 60.0)
    stalled = [asyncio.Event() for _ in range(body.MAX_PARSED)]

    async def half(there: asyncio.Event) -> AsyncIterator[bytes]:
        yield b'{"generator": "' + b" " * 2 * MB
        there.set()
        await asyncio.Event().wait()

    headers = {"Content-Type": "application/json"}
    ben = await api.guest()
    waiting = [
        asyncio.create_task(ben.post("/v1/jobs", content=half(there), headers=headers))
        for there in stalled
    ]
    for there in stalled:
        await asyncio.wait_for(there.wait(), 60)
    whole = b'{"generator": "nobody", "input": {}}' + b" " * 2 * MB
    answer = await asyncio.wait_for(ada.post("/v1/jobs", content=whole, headers=headers), 60)
    problem(answer, 422, "bad_input")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("path", "content_type", "status"),
    [
        ("/v1/files", "application/x-www-form-urlencoded", 415),
        ("/v1/files", "application/json", 415),
        ("/v1/jobs", "multipart/x+json", 415),
        ("/v1/jobs", "text/x+json", 415),
    ],
)
async def test_a_media_type_that_means_two_things_is_refused(
    ada: Person, path: str, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type}
    answer = await ada.post(path, content=b"&" * MB, headers=headers)
    problem(answer, status, "unsupported_media_type")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", {f"k{number}": [] for number in range(5000)}),
        ("input", {f"k{number}": [] for number in range(5000)}),
    ],
)
async def test_many_faults_of_one_kind_are_one_error(
    ada: Person, field: str, value: object
) -> None:
    answer = await ada.post("/v1/jobs", json={"generator": "scribe", "input": {}, field: value})
    found = problem(answer, 422, "bad_input")
    assert [error["loc"] for error in found["errors"]] == [[field]]


async def test_a_key_of_the_sender_is_told_in_short(ada: Person) -> None:
    answer = await ada.post("/v1/jobs", json={"k" * 10_000: 1})
    assert len(problem(answer, 422, "bad_input")["errors"][-1]["loc"][0]) == 100


async def test_who_hangs_up_in_the_middle_of_a_body_is_no_error_of_ours(door: World) -> None:
    async def counted(status: str) -> list[str]:
        lines = (await door.http.get("/metrics")).text.splitlines()
        return [line for line in lines if f'status="{status}"' in line]

    before = {status: await counted(status) for status in ("499", "500")}
    assert door.door is not None
    host, port = door.door.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = "POST /v1/auth/register HTTP/1.1\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Host: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()

    async def has_left() -> bool:
        return await counted("499") != before["499"]

    await until(has_left)
    assert await counted("500") == before["500"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("stauts=queued", "unknown_parameter"),
        ("limit=1&limit=2", "repeated_parameter"),
        ("Limit=1", "unknown_parameter"),
        ("wait", "unknown_parameter"),
    ],
)
async def test_a_parameter_that_the_call_does_not_have_is_refused(
    ada: Person, query: str, code: str
) -> None:
    found = problem(await ada.get(f"/v1/jobs?{query}"), 422, "bad_input")
    assert [error["code"] for error in found["errors"]] == [code]
    assert "status" in found["errors"][0]["msg"] or code == "repeated_parameter"
