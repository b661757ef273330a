"""``benchmarks.peers`` asks the service as a user does: its accounts, its jobs, its links."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from benchmarks.loads import Refused, Wanted
from benchmarks.peers.atelier import Drawing, new_user
from benchmarks.peers.systems import http_client
from db.object_store import ObjectStore, output_key
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Job, User
from serve_app.auth.api_keys import ALL_SCOPES, create_api_key
from tests.support.http import World, served

WANTED = Wanted("a red circle", 5, 6, 3.0)
PICTURE = b"a picture"


@pytest.fixture
async def door(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> AsyncIterator[World]:
    async with served(store_settings) as world:
        yield world


async def admin_key(world: World) -> str:
    person = await world.guest()
    async with world.sessions.begin() as session:
        (await session.get_one(User, person.id)).role = "admin"
        _, secret = await create_api_key(session, person.id, "admin", sorted(ALL_SCOPES))
    return secret


async def waiting_job(world: World) -> Job:
    async with asyncio.timeout(60):
        while True:
            async with world.sessions() as session:
                if job := await session.scalar(select(Job).where(Job.status == "queued")):
                    return job
            await asyncio.sleep(0.02)


async def test_a_new_user_has_no_limits_and_draws_what_was_wanted(
    door: World, objects: ObjectStore
) -> None:
    with http_client(base_url=str(door.http.base_url)) as http, http_client() as links:
        key = await asyncio.to_thread(new_user, http, await admin_key(door))
        drawing = asyncio.create_task(asyncio.to_thread(Drawing(http, links, [key]).draw, WANTED))
        job = await waiting_job(door)
        limits = await door.http.get("/v1/limits", headers={"X-API-Key": key})
        assert limits.json()["plan"] == "unlimited"
        assert job.input == {"prompt": "a red circle", "seed": 5, "steps": 6, "guidance": 3.0}
        object_key = output_key(job.user_id, job.id, 1, "image-0.png")
        output = {
            "name": "image-0.png", "kind": "image", "content_type": "image/png",
            "bytes": len(PICTURE), "width": 64, "height": 64, "duration_s": None, "sha256": "s",
            "object_key": object_key,
        }  # fmt: skip
        await objects.put_bytes(object_key, PICTURE, "image/png")
        await door.end(job.id, "succeeded", 1.0, [output])
        assert await drawing == PICTURE


async def test_a_job_that_failed_is_no_picture(door: World) -> None:
    with http_client(base_url=str(door.http.base_url)) as http, http_client() as links:
        key = await asyncio.to_thread(new_user, http, await admin_key(door))
        drawing = asyncio.create_task(asyncio.to_thread(Drawing(http, links, [key]).draw, WANTED))
        await door.end((await waiting_job(door)).id, "failed")
        with pytest.raises(Refused, match="failed"):
            await drawing
