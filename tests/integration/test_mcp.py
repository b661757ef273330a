"""The MCP server, spoken to by the SDK's own client over a real socket, and over stdio."""

import asyncio
import base64
import io
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ImageContent, ResourceLink, TextContent
from PIL import Image
from redis.asyncio import Redis

from db.session import Sessions
from db.settings import StoreSettings
from db.tables import File, Job
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.at_work import at_work
from tests.support.http import Person, World, problem, served

ROOT = Path(__file__).parents[2]
GENERATORS = [f"deployments.generators.{name}" for name in ("image", "video3d")]
CIRCLE = "a big yellow circle on a blue background"
PICTURE = {"prompt": CIRCLE, "width": 64, "height": 64, "seed": 7}
FILM = {"prompt": CIRCLE, "mode": "turntable", "seconds": 2, "fps": 8, "width": 64, "height": 64}
PATIENCE_S = 300
ERAS = ("2025-11-25", "2026-07-28")


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    async with served(store_settings, GENERATORS, WELCOME_CREDITS=100) as started:
        yield started


@pytest.fixture
async def worker(stores: Stores, tmp_path: Path) -> AsyncIterator[None]:
    async with at_work(stores, GENERATORS, tmp_path):
        yield


@pytest.fixture
async def key(ada: Person) -> str:
    return await key_of(ada)


@pytest.fixture
async def client(api: World, key: str) -> AsyncIterator[Client]:
    async with connected(api, key) as client:
        yield client


async def key_of(person: Person, *scopes: str) -> str:
    wanted = scopes or ("jobs:read", "jobs:write", "billing", "files")
    made = await person.post("/v1/api-keys", json={"name": "agent", "scopes": wanted})
    return str(made.json()["key"])


@asynccontextmanager
async def connected(api: World, key: str, mode: str = "auto") -> AsyncIterator[Client]:
    assert api.door is not None
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http:
        transport = streamable_http_client(f"{api.door.url}/mcp", http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=PATIENCE_S) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the tool answers as structured content, which its text repeats."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, words(result)
    assert result.structured_content is not None
    assert json.loads(words(result)) == result.structured_content
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return words(result)


def words(result: CallToolResult) -> str:
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


def pictures(result: CallToolResult) -> list[Image.Image]:
    assert not result.is_error, words(result)
    shown = [block for block in result.content if isinstance(block, ImageContent)]
    return [Image.open(io.BytesIO(base64.b64decode(block.data))) for block in shown]


def as_png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


async def test_the_tools_say_what_they_do(client: Client) -> None:
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(listed) == {
        "list_generators", "get_generator", "quote", "generate_image", "create_job",
        "wait_for_job", "get_job", "get_output", "cancel_job", "list_jobs", "upload_file",
        "get_balance",
    }  # fmt: skip
    for tool in listed.values():
        assert tool.description and tool.title and tool.output_schema
        assert tool.input_schema["additionalProperties"] is False
        assert "ctx" not in tool.input_schema["properties"]
        for name, argument in tool.input_schema["properties"].items():
            assert "description" in json.dumps(argument), f"{tool.name}.{name}"
    changing = {name for name, tool in listed.items() if not tool.annotations.read_only_hint}
    assert changing == {"generate_image", "create_job", "cancel_job", "upload_file"}
    destroying = {name for name, tool in listed.items() if tool.annotations.destructive_hint}
    assert destroying == {"cancel_job"}
    assert client.instructions and "quote" in client.instructions


async def test_an_agent_finds_its_way_to_a_price(client: Client) -> None:
    found = await call(client, "list_generators")
    assert [one["name"] for one in found["generators"]] == ["image", "video3d"]
    generator = await call(client, "get_generator", name="video3d")
    assert "seconds" in generator["input_schema"]["properties"]
    priced = await call(client, "quote", generator="video3d", input=generator["example"])
    assert priced["credits"] == sum(line["credits"] for line in priced["breakdown"]) > 0
    (template,) = (await client.list_resource_templates()).resource_templates
    (read,) = (await client.read_resource(template.uri_template.format(name="video3d"))).contents
    assert json.loads(read.text) | {"eta_s": None} == generator | {"eta_s": None}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_picture_is_drawn_and_seen(
    api: World, ada: Person, key: str, worker: None, mode: str
) -> None:
    async with connected(api, key, mode) as client:
        assert client.protocol_version == ERAS[mode == "auto"]
        drawn = await client.call_tool("generate_image", {**PICTURE, "timeout_s": 300})
    (picture,) = pictures(drawn)
    seen = read_shape(np.asarray(picture.convert("RGB")))
    assert (seen["color"], seen["background"]) == ("yellow", "blue")
    job = drawn.structured_content
    assert job is not None and job["status"] == "succeeded"
    assert job["credits_charged"] == 2
    assert await api.assert_adds_up(ada.id) == (98, 0)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_film_is_followed_and_linked(
    api: World, key: str, worker: None, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("serve_app.mcp.job_tools.PROGRESS_INTERVAL_S", 0.05)
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with connected(api, key, mode) as client:
        job = await call(client, "create_job", generator="video3d", input=FILM)
        assert job["status"] == "queued" and job["outputs"] == []
        ended = await client.call_tool(
            "wait_for_job", {"job_id": job["id"], "timeout_s": 300}, progress_callback=hear
        )
        assert ended.structured_content is not None
        assert ended.structured_content["status"] == "succeeded"
        assert [progress for progress, _, _ in told] == sorted({p for p, _, _ in told})
        assert told[-1] == (1.0, 1.0, "done") and len(told) > 1
        got = await client.call_tool("get_output", {"job_id": job["id"]})
        assert [picture.format for picture in pictures(got)] == ["PNG"], "the poster"
        links = {block.name: block for block in got.content if isinstance(block, ResourceLink)}
        assert links.keys() == {"film.mp4", "mesh.glb"}
        film = links["film.mp4"]
        async with httpx2.AsyncClient() as http:
            answer = await http.get(film.uri)
        assert (len(answer.content), film.mime_type) == (film.size, "video/mp4")
        only = await client.call_tool("get_output", {"job_id": job["id"], "name": "film.mp4"})
        assert [block.type for block in only.content] == ["text", "resource_link"]
        missing = await refusal(client, "get_output", job_id=job["id"], name="film.gif")
        assert "film.mp4" in missing, "it says which there are"


async def test_a_large_picture_is_a_link(
    client: Client, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await client.call_tool("generate_image", {**PICTURE, "timeout_s": 300})
    assert first.structured_content is not None
    size = first.structured_content["outputs"][0]["bytes"]
    monkeypatch.setattr("serve_app.mcp.results.MAX_SHOWN_BYTES", 3 * size)
    many = await client.call_tool("generate_image", {**PICTURE, "n": 8, "timeout_s": 300})
    kinds = [block.type for block in many.content]
    assert kinds.count("image") + kinds.count("resource_link") == 8
    assert 1 <= kinds.count("image") < 8


async def test_a_wait_ends_in_time_and_a_job_is_canceled(client: Client, api: World) -> None:
    job = await call(client, "create_job", generator="image", input=PICTURE)
    still = await call(client, "wait_for_job", job_id=job["id"], timeout_s=0.1)
    assert still["status"] == "queued"
    early = await refusal(client, "get_output", job_id=job["id"])
    assert "The job is queued" in early
    assert (await call(client, "get_balance")) == {"balance": 98, "held": 2, "debt": 0}
    for _ in range(2):
        canceled = await call(client, "cancel_job", job_id=job["id"])
        assert (canceled["status"], canceled["credits_charged"]) == ("canceled", 0)
    assert (await call(client, "get_balance"))["balance"] == 100
    listed = await call(client, "list_jobs", status="canceled", generator="image")
    assert [one["id"] for one in listed["jobs"]] == [job["id"]]
    assert (await call(client, "list_jobs", status="queued"))["jobs"] == []


async def test_the_same_idempotency_key_is_charged_once(
    client: Client, api: World, ada: Person
) -> None:
    order = {"generator": "image", "input": PICTURE, "idempotency_key": "one"}
    made = [await call(client, "create_job", **order) for _ in range(2)]
    assert made[0]["id"] == made[1]["id"]
    assert await api.count(Job, ada.id) == 1
    other = await refusal(client, "create_job", **order | {"input": {"prompt": "a red square"}})
    assert "idempotency_mismatch" in other
    await call(client, "create_job", **order | {"idempotency_key": "two"})
    assert await api.count(Job, ada.id) == 2


async def test_a_file_is_uploaded_and_used(
    client: Client, api: World, ada: Person, worker: None
) -> None:
    encoded = as_png(Image.new("RGB", (64, 64), "red"))
    plain = await call(client, "upload_file", data=encoded, name="red.png")
    again = await call(client, "upload_file", data=f"data:image/png;base64,{encoded}")
    assert (plain["name"], again["content_type"]) == ("red.png", "image/png")
    assert await api.count(File, ada.id) == 2
    order = {"prompt": CIRCLE, "init_image": {"file_id": plain["id"]}, "strength": 0.5}
    job = await call(client, "create_job", generator="image", input=order)
    ended = await call(client, "wait_for_job", job_id=job["id"], timeout_s=300)
    assert ended["status"] == "succeeded"
    assert "not base64" in await refusal(client, "upload_file", data="#!")
    assert "unreadable_file" in await refusal(
        client, "upload_file", data=base64.b64encode(b"no picture").decode()
    )


async def test_who_has_too_few_credits_reads_how_many(client: Client, api: World) -> None:
    dear = {
        "generator": "image",
        "input": {"prompt": CIRCLE, "width": 2048, "height": 2048, "n": 8},
    }
    assert (await call(client, "quote", **dear))["credits"] == 256
    told = await refusal(client, "create_job", **dear)
    assert "not_enough_credits" in told and "256" in told and "100" in told


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("create_job", {"generator": "image", "input": {"prompt": CIRCLE, "width": 63}}, ["input.width", "64"]),
    ("create_job", {"generator": "image", "input": {"colour": "red"}}, ["input.colour", "input.prompt"]),
    ("quote", {"generator": "paint", "input": {}}, ["not_found", "list_generators"]),
    ("create_job", {"generator": "../me", "input": {}}, ["generator", "pattern"]),
    ("get_job", {"job_id": "job_1"}, ["job_id", "pattern"]),
    ("get_job", {"job_id": "job_" + "0" * 26}, ["not_found"]),
    ("generate_image", {"prompt": CIRCLE, "aspect": "16:9"}, ["aspect"]),
    ("generate_image", {"prompt": CIRCLE, "width": 65}, ["width", "multiple of 8"]),
    ("generate_image", {"prompt": "a \0"}, ["input.prompt"]),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "arguments", "said"), WRONG)
async def test_what_is_wrong_is_said_where(
    client: Client, api: World, ada: Person, tool: str, arguments: dict[str, Any], said: list[str]
) -> None:
    told = await refusal(client, tool, **arguments)
    assert all(word in told for word in said), told
    assert await api.nothing_happened(ada.id)


async def test_a_key_can_do_what_its_scopes_say(api: World, ada: Person) -> None:
    async with connected(api, await key_of(ada, "jobs:read")) as reader:
        assert (await call(reader, "list_jobs"))["jobs"] == []
        told = await refusal(reader, "create_job", generator="image", input=PICTURE)
        assert "scope_missing" in told and "jobs:write" in told
        assert "billing" in await refusal(reader, "get_balance")
        assert "files" in await refusal(reader, "upload_file", data="AAAA")


async def test_jobs_of_others_are_not_found(api: World, client: Client) -> None:
    others = await (await api.guest()).job()
    for tool in ("get_job", "wait_for_job", "cancel_job", "get_output"):
        assert "not_found" in await refusal(client, tool, job_id=others)
    assert (await call(client, "list_jobs"))["jobs"] == []


# The HTTP around it


MESSAGE = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream"}


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
        while (await ada.get("/v1/limits")).json()["streams"]["now"] == 0:
            assert not waiting.done()
            await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_S):
        while (await ada.get("/v1/limits")).json()["streams"]["now"]:
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
async def test_the_same_over_stdio(api: World, key: str, worker: None, mode: str) -> None:
    assert api.door is not None
    server = over_stdio({"ATELIER_URL": api.door.url, "ATELIER_API_KEY": key})
    told: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    async with Client(server, mode=mode, read_timeout_seconds=PATIENCE_S) as client:
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


async def test_an_unknown_resource_is_an_error(client: Client) -> None:
    with pytest.raises(MCPError):
        await client.read_resource("atelier://generators/paint")
