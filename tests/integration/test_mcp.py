"""The tools of the MCP server, called by the SDK's own client over a real socket."""

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from mcp import Client, MCPError
from mcp_types import ResourceLink
from PIL import Image
from redis.asyncio import Redis

from db.session import Sessions
from db.settings import StoreSettings
from db.tables import File, Job
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.agents import (
    CIRCLE,
    GENERATORS,
    PATIENCE_S,
    PICTURE,
    call,
    connected,
    kept_connected,
    key_of,
    pictures,
    refusal,
)
from tests.support.at_work import at_work
from tests.support.http import Person, World, served

FILM = {"prompt": CIRCLE, "mode": "turntable", "seconds": 2, "fps": 8, "width": 64, "height": 64}
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
    async with kept_connected(api, key) as client:
        yield client


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
async def test_progress_is_told_as_it_is_made(
    api: World, ada: Person, key: str, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("serve_app.mcp.job_tools.PROGRESS_INTERVAL_S", 0.05)
    job_id = await ada.job()
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        """The replica's part: the job goes on when its client has heard of it, then ends."""
        told.append((progress, total, message))
        if progress == 0.25:
            await ada.post(f"/v1/jobs/{job_id}/cancel")
            return
        async with api.sessions.begin() as session:
            row = await session.get_one(Job, job_id)
            row.progress, row.stage = 0.25, "drawing"

    async with connected(api, key, mode) as client:
        waited = await client.call_tool(
            "wait_for_job", {"job_id": job_id, "timeout_s": 300}, progress_callback=hear
        )
    assert told == [(0.0, 1.0, "queued"), (0.25, 1.0, "drawing")]
    assert waited.structured_content is not None
    assert waited.structured_content["status"] == "canceled"


async def test_a_film_is_waited_for_and_linked(client: Client, worker: None) -> None:
    job = await call(client, "create_job", generator="video3d", input=FILM)
    assert job["status"] == "queued" and job["outputs"] == []
    ended = await call(client, "wait_for_job", job_id=job["id"], timeout_s=300)
    assert ended["status"] == "succeeded"
    got = await client.call_tool("get_output", {"job_id": job["id"]})
    outputs = {output["name"]: output for output in ended["outputs"]}
    seen = {(picture.format, picture.width) for picture in pictures(got)}
    assert ("PNG", outputs["poster.png"]["width"]) in seen
    links = {block.name: block for block in got.content if isinstance(block, ResourceLink)}
    assert links.keys() == {name for name in outputs if not name.endswith(".png")}
    film = links["film.mp4"]
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as http:
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
    other = base64.b64encode(b"no picture").decode()
    assert "unknown format" in await refusal(client, "upload_file", data=other)


async def test_who_has_too_few_credits_reads_how_many(client: Client, api: World) -> None:
    dear = {
        "generator": "image",
        "input": {"prompt": CIRCLE, "width": 2048, "height": 2048, "n": 8},
    }
    assert (await call(client, "quote", **dear))["credits"] == 256
    told = await refusal(client, "create_job", **dear)
    assert "not_enough_credits" in told and "256" in told and "100" in told


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("create_job", {"generator": "image", "input": {**PICTURE, "width": 63}}, ["input.width", "8"]),
    ("create_job", {"generator": "image", "input": {"hue": "red"}}, ["input.hue", "input.prompt"]),
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


async def test_an_unknown_resource_is_an_error(client: Client) -> None:
    with pytest.raises(MCPError):
        await client.read_resource("atelier://generators/paint")
