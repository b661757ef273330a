"""What carries the MCP server's messages: Streamable HTTP at /mcp, and stdio."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from redis.asyncio import Redis

from db.session import Sessions
from db.settings import StoreSettings
from deployments.stores import Stores
from tests.support.agents import (
    CIRCLE,
    GENERATORS,
    PATIENCE_S,
    PICTURE,
    connected,
    key_of,
    pictures,
    refusal,
)
from tests.support.at_work import at_work
from tests.support.http import Person, World, problem, served

ROOT = Path(__file__).parents[2]
MESSAGE = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    async with served(store_settings, GENERATORS, WELCOME_CREDITS=100) as started:
        yield started


@pytest.fixture
async def key(ada: Person) -> str:
    return await key_of(ada)


async def test_nobody_is_let_in_without_a_key(api: World, ada: Person, key: str) -> None:
    refused = await api.http.post("/mcp", json=MESSAGE, headers=ACCEPT)
    assert problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"
    wrong = {**ACCEPT, "Authorization": "Bearer atl_wrong"}
    problem(await api.http.post("/mcp", json=MESSAGE, headers=wrong), 401, "invalid_token")
    for who in ({"X-API-Key": key}, ada.headers):
        let_in = await api.http.post("/mcp", json=MESSAGE, headers={**ACCEPT, **who})
        assert let_in.status_code == 200 and "list_generators" in let_in.text


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_there_is_no_session_to_open_or_end(ada: Person, api: World, method: str) -> None:
    headers = {**ACCEPT, **ada.headers}
    answer = await api.http.request(method, "/mcp", headers=headers)
    problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


async def test_bodies_are_bounded_as_everywhere(ada: Person) -> None:
    large = {**MESSAGE, "params": {"_meta": {"words": "x" * (1 << 20)}}}
    problem(await ada.post("/mcp", json=large, headers=ACCEPT), 413, "too_large")
    form = {**ACCEPT, "Content-Type": "text/plain"}
    problem(await ada.post("/mcp", content=b"{}", headers=form), 415, "unsupported_media_type")
    for body in (b"{", b"[]", b"1"):
        sent = {**ACCEPT, "Content-Type": "application/json"}
        problem(await ada.post("/mcp", content=body, headers=sent), 422, "bad_input")


async def test_pages_of_other_origins_are_kept_out(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> None:
    friend = "https://friend.example"
    async with served(store_settings, GENERATORS, CORS_ORIGINS=friend) as api:
        ada = await api.guest()

        async def status(**headers: str) -> int:
            answer = await ada.post("/mcp", json=MESSAGE, headers={**ACCEPT, **headers})
            return answer.status_code

        assert await status() == 200
        assert await status(Origin=friend) == 200
        assert await status(Origin="https://foe.example") == 403
        assert api.door is not None
        assert await status(Origin=api.door.url) == 403, "a rebound name would look like this"


async def test_messages_count_against_the_rate_limit(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> None:
    async with served(store_settings, GENERATORS, RATE_LIMIT_PER_MINUTE=5) as api:
        ada = await api.guest()
        seen = [await ada.post("/mcp", json=MESSAGE, headers=ACCEPT) for _ in range(11)]
    limited = [answer for answer in seen if answer.status_code == 429]
    assert limited, "eleven are more than two minutes allow"
    assert problem(limited[0], 429, "rate_limited") and limited[0].headers["retry-after"]


async def test_waiting_calls_count_as_streams(api: World, ada: Person, key: str) -> None:
    """And end with the client that waits."""
    job = await ada.job()
    async with connected(api, key) as client:
        waiting = asyncio.create_task(
            client.call_tool("wait_for_job", {"job_id": job, "timeout_s": 300})
        )
        await streams_are(ada, 1)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await streams_are(ada, 0)


async def test_a_wait_ends_with_the_connection_of_an_older_client(ada: Person) -> None:
    arguments = {"job_id": await ada.job(), "timeout_s": 300}
    message = {**MESSAGE, "method": "tools/call"}
    message["params"] = {"name": "wait_for_job", "arguments": arguments}
    headers = {**ACCEPT, **ada.headers}
    async with ada.world.http.stream("POST", "/mcp", json=message, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        await streams_are(ada, 1)
    await streams_are(ada, 0)


async def streams_are(person: Person, now: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await person.get("/v1/limits")).json()["streams"]["now"] != now:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_the_page_for_language_models(api: World) -> None:
    answer = await api.http.get("/llms.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("# Atelier\n\n> ")
    assert "`image`" in answer.text and "`video3d`" in answer.text
    assert "cloth_swap" not in answer.text, "only what this installation serves"
    for path in ("/openapi.json", "/docs", "/v1/generators"):
        assert path in answer.text and (await api.http.get(path)).status_code == 200
    assert "](/mcp)" in answer.text


# Over stdio


def over_stdio(environment: Mapping[str, str]) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable, args=["-m", "serve_app.mcp"], cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_same_over_stdio(
    api: World, key: str, stores: Stores, tmp_path: Path, mode: str
) -> None:
    assert api.door is not None
    server = over_stdio({"ATELIER_URL": api.door.url, "ATELIER_API_KEY": key})
    told: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    async with (
        at_work(stores, GENERATORS, tmp_path),
        Client(server, mode=mode, read_timeout_seconds=PATIENCE_S) as client,
    ):
        assert len((await client.list_tools()).tools) == 12
        drawn = await client.call_tool(
            "generate_image", {**PICTURE, "timeout_s": 300}, progress_callback=hear
        )
        (picture,) = pictures(drawn)
        assert picture.size == (64, 64)
        assert told[-1] == 1.0
        assert "input.width" in await refusal(
            client, "quote", generator="image", input={"prompt": CIRCLE, "width": 1}
        )
        await api.door.shut()
        assert "Atelier does not answer" in await refusal(client, "get_balance")


async def test_stdio_says_what_it_lacks() -> None:
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "serve_app.mcp", cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await run.communicate()
    assert run.returncode == 1 and out == b""
    assert b"ATELIER_URL" in err and b"ATELIER_API_KEY" in err
