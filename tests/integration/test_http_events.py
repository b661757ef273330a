"""The event stream of a job through a real server, and the signed links to what it made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from db.jobs import transitions
from db.object_store import ObjectStore, output_key, temp_key
from db.redis.client import events_key, publish_event, read_events
from db.session import Sessions
from db.settings import StoreSettings
from deployments.messaging.job_events import (
    preview_event,
    progress_event,
    publish_done,
    status_event,
)
from tests.support.http import Person, Told, World, listening, served, without_redis, world
from tests.support.jobs import claim
from tests.support.waiting import HANG_S, until


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    async with served(store_settings) as started:
        yield started


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are looked at all the time; ask for it before the API."""
    monkeypatch.setattr("serve_app.jobs.job_watch.POLL_INTERVAL_S", 0.2)


def told(events: list[Told]) -> list[tuple[str, Any]]:
    """Names and what matters; a state told again by the row, between two events, counts once."""
    matters = [
        (event.name, (event.data["status"], event.data["attempt"]))
        if event.name == "status"
        else (event.name, event.data.get("fraction"))
        for event in events
    ]
    return [item for item, _ in groupby(matters)]


async def begin(api: World, redis: Redis, job_id: str, attempt: int = 1) -> None:
    await claim(api.sessions, job_id, attempt)
    await publish_event(redis, job_id, status_event("running", attempt))


async def progress(redis: Redis, job_id: str, *fractions: float) -> None:
    for fraction in fractions:
        await publish_event(redis, job_id, progress_event(fraction, "drawing"))


async def finish(api: World, redis: Redis, job_id: str) -> None:
    await publish_done(redis, api.sessions, await api.end(job_id, "succeeded", share=1.0))


async def test_a_job_is_followed_from_the_queue_to_its_end(
    api: World, ada: Person, redis: Redis, objects: ObjectStore
) -> None:
    job_id = await ada.job()
    preview = temp_key(job_id, "preview.png")
    await objects.put_bytes(preview, b"a preview", "image/png")
    async with listening(ada, job_id) as stream:
        first = await stream.next()
        assert (first.name, first.data["status"], first.data["attempt"]) == ("status", "queued", 0)
        await begin(api, redis, job_id)
        await progress(redis, job_id, 0.25)
        await publish_event(redis, job_id, preview_event(preview))
        await progress(redis, job_id, 0.5, 1.0)
        await finish(api, redis, job_id)
        events = await stream.rest()
    assert told(events) == [
        ("status", ("running", 1)),
        ("progress", 0.25),
        ("preview", None),
        ("progress", 0.5),
        ("progress", 1.0),
        ("done", None),
    ]
    by_name = {event.name: event.data for event in events}
    assert by_name["progress"] == {"fraction": 1.0, "stage": "drawing"}
    assert by_name["done"] == {"job": (await ada.get(f"/v1/jobs/{job_id}")).json()}
    assert by_name["done"]["job"]["status"] == "succeeded"
    assert by_name["preview"].keys() == {"url"}
    async with httpx.AsyncClient(timeout=HANG_S) as anybody:
        shown = await anybody.get(by_name["preview"]["url"])
    assert (shown.status_code, shown.content) == (200, b"a preview")


async def test_a_subscriber_that_comes_back_misses_and_repeats_nothing(
    api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        await begin(api, redis, job_id)
        await progress(redis, job_id, 0.1, 0.2)
        seen = [await stream.next()]
        while seen[-1].data.get("fraction") != 0.2:
            seen.append(await stream.next())
    await progress(redis, job_id, 0.3, 0.4)
    async with listening(ada, job_id, seen[-1].id) as stream:
        missed = [await stream.next() for _ in range(3)]
        assert told(missed) == [
            ("progress", 0.3), ("progress", 0.4), ("status", ("running", 1))
        ]  # fmt: skip
        await progress(redis, job_id, 0.5)
        assert told([await stream.next()]) == [("progress", 0.5)]
    await progress(redis, job_id, 0.6)
    await finish(api, redis, job_id)
    # The state in between carries the id of what came before it: resuming there is the same.
    async with listening(ada, job_id, missed[-1].id) as stream:
        assert told(await stream.rest()) == [
            ("progress", 0.5),
            ("progress", 0.6),
            ("status", ("succeeded", 1)),
            ("done", None),
        ]
    kept = [stream_id for stream_id, _ in await read_events(redis, job_id, "0-0")]
    ids = [event.id for event in [*seen, *missed] if event.name == "progress"]
    assert ids == kept[1:5]


async def test_the_first_id_leads_through_the_whole_story(
    api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    await begin(api, redis, job_id)
    await progress(redis, job_id, 0.5)
    await finish(api, redis, job_id)
    async with listening(ada, job_id, "0-0") as stream:
        events = await stream.rest()
    assert told(events) == [
        ("status", ("running", 1)),
        ("progress", 0.5),
        ("status", ("succeeded", 1)),
        ("done", None),
    ]
    async with listening(ada, job_id, events[-1].id) as stream:
        assert [event.name for event in await stream.rest()] == ["status", "done"]


@pytest.mark.parametrize("last", ["", "nonsense", "0", "1-2-3", "-1", "9" * 40, "$", "²-²"])
async def test_an_id_that_never_was_is_like_none(
    api: World, ada: Person, redis: Redis, last: str
) -> None:
    job_id = await ada.job()
    await begin(api, redis, job_id)
    await progress(redis, job_id, 0.5)
    async with listening(ada, job_id, last) as stream:
        assert told([await stream.next()]) == [("status", ("running", 1))]
        await finish(api, redis, job_id)
        assert told(await stream.rest()) == [("done", None)]


async def test_an_id_from_the_future_does_not_hide_the_end(
    api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    await begin(api, redis, job_id)
    async with listening(ada, job_id, "9" * 19 + "-0") as stream:
        assert told([await stream.next()]) == [("status", ("running", 1))]
        await finish(api, redis, job_id)
        assert told(await stream.rest())[-1] == ("done", None)


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled"])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_job_that_has_ended_says_so_and_no_more(
    api: World, ada: Person, redis: Redis, status: str, forgotten: bool
) -> None:
    job_id = await ada.job()
    await begin(api, redis, job_id)
    await publish_done(redis, api.sessions, await api.end(job_id, status))
    if forgotten:
        await redis.delete(events_key(job_id))
    async with listening(ada, job_id) as stream:
        events = await stream.rest()
    assert told(events) == [("status", (status, 1)), ("done", None)]
    assert events[-1].data == {"job": (await ada.get(f"/v1/jobs/{job_id}")).json()}


async def test_a_cancel_ends_the_stream(api: World, ada: Person) -> None:
    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        await ada.post(f"/v1/jobs/{job_id}/cancel")
        events = await stream.rest()
    assert told(events) == [("done", None)]
    assert events[0].data["job"]["status"] == "canceled"


async def test_everybody_who_listens_hears_everything(
    api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()

    async def heard(connected: asyncio.Event) -> list[Told]:
        async with listening(ada, job_id) as stream:
            await stream.next()
            connected.set()
            return await stream.rest()

    ready = [asyncio.Event() for _ in range(5)]
    listeners = [asyncio.create_task(heard(event)) for event in ready]
    async with asyncio.timeout(120):
        await asyncio.gather(*(event.wait() for event in ready))
    await begin(api, redis, job_id)
    await progress(redis, job_id, 0.5)
    await finish(api, redis, job_id)
    expected = [("status", ("running", 1)), ("progress", 0.5), ("done", None)]
    assert [told(events) for events in await asyncio.gather(*listeners)] == [expected] * 5


async def test_a_wiped_redis_delays_the_end_and_no_more(
    quick_polls: None, api: World, ada: Person, redis: Redis
) -> None:
    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        await begin(api, redis, job_id)
        await progress(redis, job_id, 0.25)
        while (await stream.next()).name != "progress":
            pass
        await redis.flushdb()
        # An event of the same millisecond would get the id that was already shown. No real wipe is
        # that quick, and what is lost so, the row tells later.
        await asyncio.sleep(0.01)
        await progress(redis, job_id, 0.5)
        assert told([await stream.next()]) == [("progress", 0.5)]
        await redis.flushdb()
        await api.end(job_id, "succeeded", share=1.0)
        events = await stream.rest()
    assert told(events) == [("done", None)]
    assert events[0].data["job"]["status"] == "succeeded"


async def test_the_row_tells_what_the_stream_does_not_and_never_turns_back(
    quick_polls: None, api: World, ada: Person, redis: Redis
) -> None:
    async def row_says(fraction: float) -> None:
        async with api.sessions.begin() as session:
            await transitions.heartbeat(session, job_id, 1, fraction, "drawing")

    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        await claim(api.sessions, job_id, 1)
        assert told([await stream.next()]) == [("status", ("running", 1))]
        await row_says(0.4)
        assert told([await stream.next()]) == [("progress", 0.4)]
        await progress(redis, job_id, 0.8)
        assert told([await stream.next()]) == [("progress", 0.8)]
        await row_says(0.6)
        await stream.silence(2.0)


async def test_without_redis_the_stream_still_ends(
    quick_to_give_up: None, store_settings: StoreSettings, sessions: Sessions
) -> None:
    with without_redis(store_settings) as cut_off:
        async with served(cut_off) as api:
            ada = await api.guest()
            job_id = await ada.job()
            async with listening(ada, job_id) as stream:
                assert told([await stream.next()]) == [("status", ("queued", 0))]
                await claim(sessions, job_id, 1)
                assert told([await stream.next()]) == [("status", ("running", 1))]
                await api.end(job_id, "failed")
                assert told(await stream.rest()) == [("done", None)]


async def test_whoever_leaves_is_forgotten(api: World, ada: Person) -> None:
    async def open_streams(number: float) -> bool:
        lines = (await api.http.get("/metrics")).text.splitlines()
        return f"atelier_event_streams {number}" in lines

    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        await stream.next()
        assert await open_streams(1.0)
    await until(lambda: open_streams(0.0))


async def test_a_quiet_stream_is_kept_open_and_no_proxy_may_hold_it_back(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.jobs.event_stream.KEEP_ALIVE_S", 0.2)
    path = f"/v1/jobs/{await ada.job()}/events"
    async with api.http.stream("GET", path, headers=ada.headers) as answer:
        assert answer.headers["x-accel-buffering"] == "no"
        told = {part.strip() for part in answer.headers["cache-control"].split(",")}
        assert told == {"no-cache", "no-transform"}
        comments = 0
        async with asyncio.timeout(120):
            async for line in answer.aiter_lines():
                comments += line.startswith(":")
                if comments == 3:
                    break


@asynccontextmanager
async def picture_made(
    stores: StoreSettings, link_seconds: int
) -> AsyncIterator[tuple[Person, str]]:
    """Somebody, and a job of theirs that made a picture."""
    async with world(stores, LINK_SECONDS=link_seconds) as api:
        ada = await api.guest()
        job_id = await ada.job()
        await claim(api.sessions, job_id, 1)
        key = output_key(ada.id, job_id, 1, "image-0.png")
        stored = await api.clients.objects.put_bytes(key, b"a picture", "text/html")
        output = {
            "name": "image-0.png",
            "kind": "image",
            "content_type": "image/png",
            "bytes": stored.size,
            "width": 64,
            "height": 64,
            "duration_s": None,
            "sha256": stored.sha256,
            "object_key": key,
        }
        await api.end(job_id, "succeeded", 1.0, [output])
        yield ada, job_id


async def link(person: Person, job_id: str) -> dict[str, Any]:
    [output] = (await person.get(f"/v1/jobs/{job_id}")).json()["outputs"]
    found: dict[str, Any] = output
    return found


async def test_an_output_is_fetched_by_its_link_and_only_as_signed(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> None:
    async with (
        picture_made(store_settings, 600) as (ada, job_id),
        httpx.AsyncClient(timeout=HANG_S) as anybody,
    ):
        output = await link(ada, job_id)
        lasts = datetime.fromisoformat(output.pop("expires_at")) - datetime.now(UTC)
        assert timedelta(seconds=540) < lasts <= timedelta(seconds=600)
        url = httpx.URL(output.pop("url"))
        picture = await anybody.get(url)
        assert (picture.status_code, picture.content) == (200, b"a picture")
        assert picture.headers["content-type"] == "image/png"
        assert output == {
            "name": "image-0.png", "kind": "image", "content_type": "image/png", "bytes": 9,
            "width": 64, "height": 64, "duration_s": None, "sha256": output["sha256"],
        }  # fmt: skip
        signature = url.params["X-Amz-Signature"]
        forged = [
            url.copy_set_param("X-Amz-Signature", signature[::-1]),
            url.copy_set_param("X-Amz-Expires", "604800"),
            url.copy_set_param("response-content-type", "text/html"),
            url.copy_with(path=url.path.replace("image-0", "image-1")),
            url.copy_with(query=None),
        ]
        for link_forged in forged:
            assert (await anybody.get(link_forged)).status_code == 403
        for method in ("PUT", "DELETE", "POST"):
            assert (await anybody.request(method, url)).status_code in (403, 405)
        assert (await anybody.get(url)).content == b"a picture"


async def test_a_link_ends_and_the_job_gives_a_fresh_one(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> None:
    async with (
        picture_made(store_settings, 8) as (ada, job_id),
        httpx.AsyncClient(timeout=HANG_S) as anybody,
    ):
        url = ""

        async def a_fresh_one_is_good() -> bool:
            """Asked again, should a busy machine fetch it too late."""
            nonlocal url
            url = (await link(ada, job_id))["url"]
            return (await anybody.get(url)).content == b"a picture"

        async def has_ended() -> bool:
            return (await anybody.get(url)).status_code == 403

        await until(a_fresh_one_is_good)
        await until(has_ended)
        await until(a_fresh_one_is_good)
