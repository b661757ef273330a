"""Our own client against the real service, over a real connection."""

import asyncio
import hashlib
import io
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from redis.asyncio import Redis

import atelier_client
from atelier_client import (
    AsyncClient,
    Client,
    DoneEvent,
    JobEvent,
    ProgressEvent,
    Retries,
    StatusEvent,
    verify_webhook,
)
from atelier_client.jobs import Job
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import ApiKey
from db.tables import Job as JobRow
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.at_work import at_work
from tests.support.http import PASSWORD, Person, World, served
from tests.support.receiver import Receiver
from tests.support.shaky_transport import ShakyTransport
from tests.support.waiting import until
from tests.support.webhooks import sending

GENERATORS = ["deployments.generators.image", "tests.support.scribe"]
CIRCLE = {"prompt": "a big yellow circle on a blue background", "seed": 7}
ROOT = Path(__file__).parents[2]
QUICK = Retries(first_s=0.01)


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, stores: Stores, tmp_path: Path
) -> AsyncIterator[World]:
    private = {"ATELIER_FETCH_PRIVATE": True}
    async with (
        served(store_settings, GENERATORS, WELCOME_CREDITS=1000, **private) as started,
        at_work(stores, GENERATORS, tmp_path),
    ):
        yield started


@pytest.fixture
async def key(ada: Person) -> str:
    scopes = ["jobs:read", "jobs:write", "files", "billing"]
    made = await ada.post("/v1/api-keys", json={"name": "client", "scopes": scopes})
    return str(made.json()["key"])


@pytest.fixture
async def client(api: World, key: str) -> AsyncIterator[AsyncClient]:
    assert api.door is not None
    async with AsyncClient(api.door.url, key) as client:
        yield client


def shaky(api: World, key: str, transport: ShakyTransport) -> AsyncClient:
    assert api.door is not None
    return AsyncClient(api.door.url, key, transport=transport, retries=QUICK)


def is_submit(request: httpx.Request) -> bool:
    return (request.method, request.url.path) == ("POST", "/v1/jobs")


def shape(path: Path) -> tuple[str, str]:
    seen = read_shape(np.asarray(Image.open(path).convert("RGB")))
    return seen["color"], seen["background"]


async def test_a_picture_is_made_and_saved(
    client: AsyncClient, api: World, ada: Person, tmp_path: Path
) -> None:
    quote = await client.generators.quote("image", CIRCLE)
    job = await client.run("image", CIRCLE, metadata={"for": "ada"})
    assert (job.status, job.metadata) == ("succeeded", {"for": "ada"})
    assert job.cost.charged == quote.credits
    path = await client.save(job.outputs[0], tmp_path)
    assert path == tmp_path / "image-0.png"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == job.outputs[0].sha256
    assert shape(path) == ("yellow", "blue")
    assert await client.jobs.save(job, tmp_path / "all") == [tmp_path / "all" / "image-0.png"]
    known = await client.jobs.metadata(job.id)
    assert known.metadata["seed"] == 7
    assert known.logs[0].message == "attempt 1 began"
    balance = await client.credits.get()
    assert (balance.balance, balance.held) == await api.assert_adds_up(ada.id)


async def test_the_blocking_client_does_the_same(api: World, key: str, tmp_path: Path) -> None:
    assert api.door is not None

    def work(url: str) -> tuple[Path, list[JobEvent]]:
        with Client(url, key) as client:
            job = client.run("image", CIRCLE)
            return job.outputs[0].save(tmp_path / "one.png"), list(client.jobs.events(job.id))

    path, events = await asyncio.to_thread(work, api.door.url)
    assert shape(path) == ("yellow", "blue")
    assert isinstance(events[-1], DoneEvent)


async def test_the_python_of_the_page_works_as_printed(
    api: World, key: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert api.door is not None
    known = {"ATELIER_URL": api.door.url, "ATELIER_API_KEY": key, "PYTHONPATH": str(ROOT)}
    said = [await printed(block, tmp_path, known) for block in blocks]
    assert said[0] == "circle.png 2 credits\n"
    assert re.findall("succeeded", said[1]) == ["succeeded"] * 2
    assert len(list(tmp_path.glob("out/job_*/image-0.png"))) == 2
    assert said[2] == "edited.png\n"
    assert said[3] == "2 of 2 for 2 credits\n"
    assert len(list(tmp_path.glob("batch/?/image-0.png"))) == 2
    for name in ("circle.png", "edited.png"):
        assert Image.open(tmp_path / name).size == (64, 64)


async def printed(program: str, folder: Path, known: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=folder, env={**os.environ, **known},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_local_picture_is_uploaded_first(client: AsyncClient, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), "red").save(photo)
    job = await client.run("scribe", {"text": "x", "pictures": [photo, photo]})
    (file,) = (await client.files.list(purpose="input")).data
    assert [picture["file_id"] for picture in job.input["pictures"]] == [file.id] * 2
    copy = await client.files.download(file.id, tmp_path / "copy.png")
    assert copy.read_bytes() == photo.read_bytes()
    await client.files.delete(file.id)
    with pytest.raises(atelier_client.NotFound):
        await client.files.get(file.id)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_submit_whose_answer_was_lost_is_charged_once(
    api: World, ada: Person, key: str, times: int
) -> None:
    transport = ShakyTransport(is_submit, times)
    async with shaky(api, key, transport) as client:
        job = await client.run("scribe", {"text": "x"})
        again = await client.jobs.create("scribe", {"text": "x"})
    submits = [seen for seen in transport.seen if is_submit(seen.request)]
    assert [seen.status for seen in submits] == [202] * (times + 2), "the service took each"
    assert await api.count(JobRow, ada.id) == 2
    assert again.id != job.id, "another call is another job"


async def test_it_gives_up_where_no_answer_ever_comes(api: World, key: str) -> None:
    async with shaky(api, key, ShakyTransport(is_submit, 100)) as client:
        with pytest.raises(atelier_client.ConnectionFailed, match="POST /v1/jobs"):
            await client.jobs.create("scribe", {"text": "x"})


async def test_events_go_on_where_the_connection_broke(api: World, key: str) -> None:
    def is_stream(request: httpx.Request) -> bool:
        return request.url.path.endswith("/events")

    transport = ShakyTransport(cuts=is_stream)
    async with shaky(api, key, transport) as client:
        job = await client.jobs.create("scribe", {"text": "x", "pages": 8, "page_s": 0.3})
        events = [event async for event in client.jobs.events(job.id)]
    streams = [seen.request for seen in transport.seen if is_stream(seen.request)]
    assert len(streams) == 2
    assert "last-event-id" not in streams[0].headers
    assert re.fullmatch(r"\d+-\d+", streams[1].headers["last-event-id"])
    *events, last = events
    assert isinstance(last, DoneEvent)
    assert (last.job.id, last.job.status) == (job.id, "succeeded")
    assert isinstance(events[0], StatusEvent)
    assert all(isinstance(event, StatusEvent | ProgressEvent) for event in events)


async def test_whoever_stops_listening_leaves_no_stream_open(client: AsyncClient) -> None:
    job = await client.jobs.create("scribe", {"text": "x", "pages": 100, "page_s": 0.2})
    async with aclosing(client.jobs.events(job.id)) as events:
        async for _ in events:
            break
    assert (await client.jobs.cancel(job.id)).id == job.id
    assert (await client.jobs.wait(job.id)).status == "canceled"

    async def are_closed() -> bool:
        return not (await client.limits()).streams.now

    await until(are_closed)


async def test_a_failed_job_raises(client: AsyncClient) -> None:
    with pytest.raises(atelier_client.JobFailed, match="invisible ink") as failed:
        await client.run("scribe", {"text": "x", "fault": "bad_input"})
    job: Job = failed.value.job
    assert job.error is not None and job.error.code == "text_unreadable"
    assert (await client.jobs.wait(job.id)).status == "failed"
    again = await client.jobs.retry(job.id)
    assert again.id != job.id
    await client.jobs.wait(again.id)
    await client.jobs.delete(job.id)
    with pytest.raises(atelier_client.NotFound):
        await client.jobs.get(job.id)


async def test_who_waits_too_long_hears_so(client: AsyncClient) -> None:
    job = await client.jobs.create("scribe", {"text": "x", "pages": 100, "page_s": 0.2})
    with pytest.raises(atelier_client.WaitTimedOut) as late:
        await client.jobs.wait(job.id, timeout_s=0.1)
    assert late.value.job.id == job.id
    await client.jobs.cancel(job.id)


async def test_refusals_are_errors_of_their_kind(client: AsyncClient, api: World) -> None:
    with pytest.raises(atelier_client.BadInput) as bad:
        await client.jobs.create("image", {"prompt": ""})
    assert (bad.value.status, bad.value.code) == (422, "bad_input")
    assert bad.value.errors[0]["loc"] == ["input", "prompt"]
    assert "input.prompt" in str(bad.value)
    assert bad.value.request_id
    with pytest.raises(atelier_client.BadInput, match="surrogate"):
        await client.jobs.create("image", {"prompt": "\ud83d"})
    with pytest.raises(atelier_client.NotEnoughCredits) as poor:
        await client.jobs.create("scribe", {"text": "x", "pages": 1000})
    assert (poor.value.required, poor.value.balance) == (3000, 1000)
    with pytest.raises(atelier_client.Forbidden, match="log"):
        await client.api_keys.list()
    assert api.door is not None
    async with AsyncClient(api.door.url, "atl_wrong") as stranger:
        assert {one.name for one in await stranger.generators.list()} == {"image", "scribe"}
        with pytest.raises(atelier_client.Unauthorized):
            await stranger.me()


async def test_too_many_requests_come_back_when_the_service_says(
    store_settings: StoreSettings,
    sessions: Sessions,
    redis: Redis,
    stores: Stores,
) -> None:
    rates = {"free": {"read": {"per_minute": 20, "burst": 1}}}
    async with served(store_settings, GENERATORS, RATE_LIMITS=rates) as api:
        person, transport = await api.guest(), ShakyTransport()
        async with shaky(api, person.tokens["access_token"], transport) as client:

            async def was_refused() -> bool:
                assert (await client.me()).id == person.id
                return any(seen.status == 429 for seen in transport.seen)

            await until(was_refused)
    for refused, again in pairwise(transport.seen):
        if refused.status == 429:
            assert again.at - refused.at >= refused.retry_after_s >= 1


async def test_a_webhook_is_verified(
    client: AsyncClient,
    hooks: Receiver,
    store_settings: StoreSettings,
    redis_url: str,
) -> None:
    secret = (await client.webhooks.secret()).secret
    assert (await client.webhooks.test(hooks.url)).delivered
    job = await client.jobs.create("scribe", {"text": "x"}, webhook_url=hooks.url)
    await client.jobs.wait(job.id)
    async with sending(store_settings, redis_url) as maintenance:
        await told(maintenance, hooks, "job.succeeded")
    for received in hooks.got:
        event = verify_webhook(secret, received.headers, received.body)
        if event.type.startswith("job."):
            assert event.data["id"] == job.id
        with pytest.raises(atelier_client.InvalidWebhook):
            verify_webhook(secret, received.headers, received.body + b" ")
        with pytest.raises(atelier_client.InvalidWebhook):
            verify_webhook("whsec_b3RoZXI=", received.headers, received.body)
    rolled = await client.webhooks.roll_secret()
    assert rolled.secret != secret and rolled.previous_until is not None


async def told(maintenance: MaintenanceContext, hooks: Receiver, kind: str) -> None:
    async def has_come() -> bool:
        await deliver_webhooks(maintenance)
        return kind in hooks.types()

    await until(has_come)


async def test_personas_are_saved_changed_and_deleted(client: AsyncClient) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    file = await client.files.upload(picture.getvalue(), purpose="reference", name="mira.png")
    saved = await client.personas.create("Mira", [file.id], consent=True)
    assert (saved.name, len(saved.images)) == ("Mira", 1)
    changed = await client.personas.update(saved.id, description="a woman with red hair")
    assert (changed.name, changed.description) == ("Mira", "a woman with red hair")
    assert [one.id for one in (await client.personas.list()).data] == [saved.id]
    await client.personas.delete(saved.id)
    with pytest.raises(atelier_client.NotFound):
        await client.personas.get(saved.id)


async def test_lists_come_in_pages(client: AsyncClient) -> None:
    made = [(await client.jobs.create("scribe", {"text": "x"})).id for _ in range(3)]
    first = await client.jobs.list(limit=2, created_after=datetime.now(UTC) - timedelta(hours=1))
    rest = await client.jobs.list(limit=2, after=first.next)
    assert [job.id for job in first.data + rest.data] == made[::-1]
    assert (first.has_more, rest.has_more) == (True, False)
    moves = await client.credits.transactions(kind="hold", limit=100)
    assert {move.job_id for move in moves.data} == set(made)
    for job_id in made:
        await client.jobs.wait(job_id)
    usage = await client.credits.usage(by=["generator", "key"])
    assert usage.total.jobs == usage.data[0].succeeded == 3


async def test_a_key_whose_answer_was_lost_is_replaced(api: World) -> None:
    ada = await api.person()
    assert api.door is not None
    async with AsyncClient(api.door.url, "") as stranger:
        login = await stranger.accounts.log_in(ada.email, PASSWORD)

    def makes_key(request: httpx.Request) -> bool:
        return (request.method, request.url.path) == ("POST", "/v1/api-keys")

    async with shaky(api, login.access_token, ShakyTransport(makes_key)) as client:
        end = datetime.now(UTC) + timedelta(days=1)
        made = await client.api_keys.create(
            "laptop", scopes=["jobs:read"], monthly_cap=5, expires_at=end
        )
        assert made.key is not None and made.expires_at == end
        assert [one.id for one in (await client.api_keys.list()).data] == [made.id]
        capped = await client.api_keys.update(made.id, monthly_cap=None)
        assert (capped.name, capped.monthly_cap) == ("laptop", None)
        await client.accounts.log_out()
        with pytest.raises(atelier_client.Unauthorized):
            await client.me()
    assert await api.count(ApiKey, ada.id) == 2, "the lost one is there, revoked"
    async with AsyncClient(api.door.url, made.key) as keyed:
        assert (await keyed.me()).id == ada.id


async def test_a_large_file_goes_to_the_object_store_part_by_part_and_is_gone_on_with(
    api: World, key: str, client: AsyncClient, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2000, 2000, 3), np.uint8)
    path = tmp_path / "large.png"
    Image.fromarray(noise).save(path, compress_level=0)
    upload = await client.uploads.create(path.name, path.stat().st_size)
    address = httpx.URL(upload.parts[0].url).path
    lossy = ShakyTransport(lambda request: request.url.path == address, times=9)
    async with shaky(api, key, lossy) as interrupted:
        with pytest.raises(atelier_client.ConnectionFailed):
            await interrupted.uploads.send(path, upload_id=upload.id)
    assert [part.arrived for part in (await client.uploads.get(upload.id)).parts] == [True, False]
    file = await client.uploads.send(path, upload_id=upload.id)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
