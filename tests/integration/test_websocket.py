"""The events of a job over a WebSocket, through a real server and a real client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

from db.redis.client import publish_event
from db.session import Sessions
from db.settings import StoreSettings
from deployments.messaging.job_events import progress_event, publish_done, status_event
from tests.support.http import Person, World, served
from tests.support.jobs import claim
from tests.support.waiting import until


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    async with served(store_settings) as started:
        yield started


def address(api: World, job_id: str, query: str = "") -> str:
    assert api.door is not None
    return f"{api.door.url.replace('http', 'ws', 1)}/v1/jobs/{job_id}/ws{query}"


def following(api: World, person: Person, job_id: str, query: str = "") -> Any:
    return connect(address(api, job_id, query), additional_headers=person.headers)


async def next_event(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(60):
        found: dict[str, Any] = json.loads(await socket.recv())
        return found


async def rest(socket: ClientConnection) -> list[dict[str, Any]]:
    """Everything until the server closes the connection in order."""
    found = []
    with pytest.raises(ConnectionClosedOK):
        while True:
            found.append(await next_event(socket))
    return found


async def begin(api: World, redis: Redis, job_id: str) -> None:
    await claim(api.sessions, job_id, 1)
    await publish_event(redis, job_id, status_event("running", 1))


async def test_a_job_is_followed_to_its_end(api: World, ada: Person, redis: Redis) -> None:
    job_id = await ada.job()
    async with following(api, ada, job_id) as socket:
        first = await next_event(socket)
        assert (first["event"], first["data"]["status"]) == ("status", "queued")
        await begin(api, redis, job_id)
        await publish_event(redis, job_id, progress_event(0.5, "drawing"))
        await publish_done(redis, api.sessions, await api.end(job_id, "succeeded", share=1.0))
        events = await rest(socket)
    assert [event["event"] for event in events] == ["status", "progress", "done"]
    assert events[1]["data"] == {"fraction": 0.5, "stage": "drawing"}
    assert events[-1]["data"]["job"]["status"] == "succeeded"


async def test_who_comes_back_misses_nothing(api: World, ada: Person, redis: Redis) -> None:
    job_id = await ada.job()
    async with following(api, ada, job_id) as socket:
        await next_event(socket)
        await begin(api, redis, job_id)
        last = (await next_event(socket))["id"]
    for step in (0.25, 0.5, 0.75):
        await publish_event(redis, job_id, progress_event(step, "drawing"))
    async with following(api, ada, job_id, f"?last_event_id={last}") as socket:
        missed = [await next_event(socket) for _ in range(3)]
    assert [event["data"]["fraction"] for event in missed] == [0.25, 0.5, 0.75]


async def test_a_browser_sends_its_token_as_a_subprotocol(api: World, ada: Person) -> None:
    job_id = await ada.job()
    token = ada.headers["Authorization"].removeprefix("Bearer ")
    async with connect(address(api, job_id), subprotocols=["atelier", token]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "atelier"
        assert (await next_event(socket))["event"] == "status"


async def test_who_may_not_read_is_refused_before_it_is_a_websocket(
    api: World, ada: Person
) -> None:
    job_id, stranger = await ada.job(), await api.guest()
    for headers, status, code in (
        ({}, 401, "unauthorized"),
        ({"X-API-Key": "atl_wrong"}, 401, "invalid_token"),
        (stranger.headers, 404, "not_found"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address(api, job_id), additional_headers=headers):
                pass
        answer = refused.value.response
        assert (answer.status_code, json.loads(answer.body)["code"]) == (status, code)
    assert api.clients.open_streams.count(stranger.id) == 0


async def test_a_stream_counts_until_its_client_has_left(api: World, ada: Person) -> None:
    job_id = await ada.job()
    async with following(api, ada, job_id) as socket:
        await next_event(socket)
        await socket.send("what a client sends is dropped")
        assert api.clients.open_streams.count(ada.id) == 1
    await until(lambda: api.clients.open_streams.count(ada.id) == 0)
