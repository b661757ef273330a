"""The real replicate package, with nothing changed but its base URL."""

import io
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
import replicate
import stamina
from PIL import Image
from redis.asyncio import Redis
from replicate.exceptions import ModelError, ReplicateError

from db.object_store import ObjectStore
from db.session import Sessions
from db.settings import StoreSettings
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.at_work import at_work
from tests.support.http import Person, World, served
from tests.support.waiting import HANG_S, until

GENERATORS = [f"deployments.generators.{name}" for name in ("image", "video3d")]
PROMPT = {"prompt": "a big yellow circle on a blue background", "seed": 7}


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, stores: Stores, tmp_path: Path
) -> AsyncIterator[World]:
    async with (
        served(store_settings, GENERATORS, WELCOME_CREDITS=1000) as started,
        at_work(stores, GENERATORS, tmp_path),
    ):
        yield started


@pytest.fixture
async def client(api: World, ada: Person) -> replicate.Client:
    return await connected(api, ada)


async def connected(api: World, ada: Person) -> replicate.Client:
    scopes = ["jobs:read", "jobs:write", "files"]
    made = await ada.post("/v1/api-keys", json={"name": "replicate", "scopes": scopes})
    assert api.door is not None
    return replicate.Client(api_token=made.json()["key"], base_url=f"{api.door.url}/replicate")


async def fetched(link: str) -> Image.Image:
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        return Image.open(io.BytesIO((await http.get(link)).content))


async def is_processed(client: replicate.Client, prediction_id: str) -> bool:
    return (await client.predictions.async_get(prediction_id)).status == "processing"


async def test_a_model_is_run_by_its_name_here_and_by_another_services(
    client: replicate.Client, api: World, ada: Person
) -> None:
    given = {**PROMPT, "num_outputs": 2, "num_inference_steps": 12, "output_format": "jpg"}
    links = await client.async_run("black-forest-labs/flux-schnell", input=given)
    assert len(links) == 2
    for link in links:
        picture = await fetched(link)
        assert picture.format == "JPEG"
        seen = read_shape(np.asarray(picture.convert("RGB")))
        assert (seen["color"], seen["background"]) == ("yellow", "blue")
    model = await client.models.async_get("atelier/image")
    assert model.latest_version is not None
    version = f"atelier/image:{model.latest_version.id}"
    (link,) = await client.async_run(version, input=PROMPT)
    assert (await fetched(link)).format == "PNG"
    assert await api.assert_adds_up(ada.id) == (1000 - 6, 0)


async def test_a_prediction_is_followed_listed_and_canceled(client: replicate.Client) -> None:
    long = {**PROMPT, "n": 8, "steps": 100}
    made = await client.models.predictions.async_create("atelier/image", input=long)
    await until(lambda: is_processed(client, made.id))
    assert made.progress is not None
    await made.async_cancel()
    await made.async_wait()
    assert (made.status, made.output) == ("canceled", None)
    film = await client.predictions.async_create(
        version="atelier/video3d", input={"mode": "parallax", "seconds": 1, **PROMPT}
    )
    await film.async_wait()
    assert film.status == "succeeded" and isinstance(film.output, str)
    assert film.metrics is not None and film.metrics["predict_time"] > 0
    assert film.started_at is not None and film.completed_at is not None
    assert [one.id for one in await client.predictions.async_list()] == [film.id, made.id]
    assert [model.id for model in await client.models.async_list()] == [
        "atelier/image", "atelier/video3d",
    ]  # fmt: skip


async def test_who_waits_is_answered_in_time(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> None:
    async with served(store_settings, GENERATORS) as api:  # and nobody who makes the pictures
        client = await connected(api, await api.guest())
        # Their client gives up half a second after the time it asks for: a busy machine needs more.
        async for attempt in stamina.retry_context(on=httpx.ReadTimeout, attempts=10, timeout=None):
            with attempt:
                made = await client.models.predictions.async_create(
                    "atelier/image", input=PROMPT, wait=2
                )
        assert made.status == "starting", "any other word would be the end"


async def test_a_file_is_uploaded_and_named_by_its_link(client: replicate.Client) -> None:
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(photo, "PNG")
    given = {**PROMPT, "image": photo, "prompt_strength": 0.9}
    (link,) = await client.async_run("atelier/image", input=given)
    assert (await fetched(link)).size == (64, 64)
    files = await client.files.async_list()
    assert {file.content_type for file in files} == {"image/png"}
    uploaded = await client.files.async_create(photo, filename="photo.png")
    assert (await client.files.async_get(uploaded.id)).checksums == uploaded.checksums
    assert await client.files.async_delete(uploaded.id)
    with pytest.raises(ReplicateError) as gone:
        await client.files.async_get(uploaded.id)
    assert gone.value.status == 404


async def test_what_is_wrong_is_said(client: replicate.Client, api: World) -> None:
    with pytest.raises(ReplicateError) as unknown:
        await client.async_run("acme/unheard-of", input=PROMPT)
    assert unknown.value.status == 404
    with pytest.raises(ReplicateError) as wrong:
        await client.async_run("atelier/image", input={**PROMPT, "colour": "red"})
    assert (wrong.value.status, wrong.value.title) == (422, "Bad input")
    with pytest.raises(ReplicateError) as hook:
        await client.predictions.async_create(
            "atelier/image", input=PROMPT, webhook="https://example.com/hook"
        )
    assert hook.value.status == 422
    dear = {**PROMPT, "n": 8, "width": 2048, "height": 2048, "steps": 100}
    with pytest.raises(ReplicateError) as poor:
        await client.async_run("atelier/image", input=dear)
    assert poor.value.status == 402
    assert api.door is not None
    stranger = replicate.Client(api_token="atl_wrong", base_url=f"{api.door.url}/replicate")
    with pytest.raises(ReplicateError) as key:
        await stranger.async_run("atelier/image", input=PROMPT)
    assert key.value.status == 401


async def test_a_job_that_was_accepted_is_told_even_if_nobody_may_wait(
    client: replicate.Client, api: World, ada: Person
) -> None:
    assert (await client.predictions.async_list()).results == []
    streams = api.clients.open_streams
    with ExitStack() as stack:
        for _ in range(25):  # as many as this plan may have
            stack.enter_context(streams.admit(ada.id, "free"))
        made = await client.models.predictions.async_create("atelier/image", input=PROMPT, wait=5)
    await made.async_wait()
    assert made.status == "succeeded"


async def test_a_failed_prediction_raises_their_error(client: replicate.Client) -> None:
    gone = {**PROMPT, "image": "http://127.0.0.1:1/photo.png"}
    with pytest.raises(ModelError) as failed:
        await client.async_run("atelier/image", input=gone)
    assert failed.value.prediction.status == "failed"
    assert failed.value.prediction.error
