"""The real fal-client package, with nothing changed but its base URL."""

import asyncio
import hashlib
import importlib
import io
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
import trustme
from PIL import Image
from redis.asyncio import Redis
from sqlalchemy import select

from db.session import Sessions
from db.settings import StoreSettings
from db.tables import IdempotencyKey
from deployments.stores import Stores
from models.tiny.checker import read_shape
from serve_app.auth.identity import Identity
from serve_app.jobs import repeated
from serve_app.jobs.schemas import SubmitBody
from serve_app.jobs.submit import Submission
from tests.support.at_work import at_work
from tests.support.http import Person, World, served
from tests.support.waiting import HANG_S, until

GENERATORS = [f"deployments.generators.{name}" for name in ("image", "video3d", "cloth_swap")]
PROMPT = {"prompt": "a big yellow circle on a blue background", "seed": 7}
LONG = {**PROMPT, "num_images": 8, "num_inference_steps": 100}


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of ours with its key, which this process trusts: fal's clients force TLS."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    made = tmp_path / "certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(made)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


@pytest.fixture
async def api(
    store_settings: StoreSettings,
    sessions: Sessions,
    redis: Redis,
    stores: Stores,
    tmp_path: Path,
    certificate: Path,
) -> AsyncIterator[World]:
    async with (
        served(store_settings, GENERATORS, certificate, WELCOME_CREDITS=1000) as started,
        at_work(stores, GENERATORS, tmp_path),
    ):
        yield started


@pytest.fixture
def fal(api: World, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package; it reads its hosts when it is imported."""
    assert api.door is not None
    host = api.door.url.removeprefix("https://")
    monkeypatch.setenv("FAL_RUN_HOST", f"{host}/fal")
    monkeypatch.setenv("FAL_QUEUE_RUN_HOST", f"{host}/fal/queue")
    for name in [name for name in sys.modules if name.partition(".")[0] == "fal_client"]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("fal_client")


async def key_of(person: Person, *scopes: str) -> str:
    wanted = list(scopes or ("jobs:read", "jobs:write", "files"))
    made = await person.post("/v1/api-keys", json={"name": "fal", "scopes": wanted})
    return str(made.json()["key"])


@pytest.fixture
async def client(fal: ModuleType, ada: Person) -> Any:
    return fal.AsyncClient(key=await key_of(ada))


async def announced_link(api: World, person: Person) -> str:
    assert api.door is not None
    headers = {"Authorization": f"Key {await key_of(person)}"}
    async with httpx.AsyncClient(headers=headers, timeout=HANG_S) as http:
        url = f"{api.door.url}/fal/storage/upload/initiate?storage_type=gcs"
        made = await http.post(url, json={"file_name": "twice.png"})
    return str(made.json()["upload_url"])


async def fetched(link: str) -> Image.Image:
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        return Image.open(io.BytesIO((await http.get(link)).content))


async def jobs_of(person: Person) -> list[dict[str, Any]]:
    return list((await person.get("/v1/jobs")).json()["data"])


async def test_a_request_is_queued_followed_and_its_result_fetched(
    fal: ModuleType, client: Any, api: World, ada: Person
) -> None:
    seen = []
    result = await client.subscribe(
        "fal-ai/flux/dev",
        {**PROMPT, "num_images": 2, "num_inference_steps": 12, "output_format": "jpeg",
         "image_size": {"width": 64, "height": 64}, "enable_safety_checker": True},
        with_logs=True,
        on_queue_update=seen.append,
    )  # fmt: skip
    assert result["seed"] == 7 and result["prompt"] == PROMPT["prompt"]
    assert len(result["images"]) == 2
    for image in result["images"]:
        assert (image["width"], image["height"]) == (64, 64)
        assert image["content_type"] == "image/jpeg"
        picture = await fetched(image["url"])
        shape = read_shape(np.asarray(picture.convert("RGB")))
        assert (shape["color"], shape["background"]) == ("yellow", "blue")
    ended = seen[-1]
    assert isinstance(ended, fal.Completed)
    assert ended.error is None and ended.metrics["inference_time"] > 0 and ended.logs
    assert await api.assert_adds_up(ada.id) == (1000 - 4, 0)


async def test_a_request_is_run_directly_with_a_picture_and_a_mask(
    fal: ModuleType, client: Any
) -> None:
    photo = Image.new("RGB", (64, 64), "red")
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    arguments = {
        **PROMPT,
        "image_url": fal.encode_image(photo, "png"),
        "mask_url": fal.encode_image(mask, "png"),
    }
    result = await client.run("fal-ai/flux-general/inpainting", arguments)
    pixels = np.asarray((await fetched(result["image"]["url"])).convert("RGB")).astype(int)
    right = pixels[:, 36:] - np.array([255, 0, 0])
    assert abs(right).max() <= 8, "outside the mask the photo stays"
    assert abs(pixels[:, :28] - np.array([255, 0, 0])).mean() > 20


async def test_a_stream_shows_how_far_it_is_and_ends_with_the_result(client: Any) -> None:
    told = [event async for event in client.stream("atelier/image", {**PROMPT, "steps": 60})]
    assert "images" in told[-1] and told[-1]["seed"] == 7
    progress = [event["fraction"] for event in told if event.get("status") == "IN_PROGRESS"]
    assert progress == sorted(progress)
    refused = {**PROMPT, "steps": 60, "colour": "red"}
    with pytest.raises(httpx.HTTPError):
        [event async for event in client.stream("atelier/image", refused)]


async def test_a_film_is_made(client: Any) -> None:
    given = {"mode": "parallax", "seconds": 1, **PROMPT}
    result = await client.subscribe("atelier/video3d", given)
    assert result["video"]["content_type"] == "video/mp4"
    assert result["video"]["file_size"] > 1000


async def test_a_request_is_canceled(fal: ModuleType, client: Any, ada: Person) -> None:
    handle = await client.submit("fal-ai/flux/schnell", LONG, priority="low")
    found = await client.status("fal-ai/flux", handle.request_id)
    assert isinstance(found, fal.Queued | fal.InProgress)
    headers = {"Authorization": f"Key {await key_of(ada)}"}
    async with httpx.AsyncClient(headers=headers, timeout=HANG_S) as http:
        early = await http.get(handle.response_url)
    assert (early.status_code, early.json()["error_type"]) == (400, "in_progress")
    with pytest.raises(fal.FalClientHTTPError, match="no such resource"):
        await client.result("fal-ai/flux", "job_00000000000000000000000000")
    await handle.cancel()
    with pytest.raises(fal.FalClientHTTPError) as ended:
        await handle.get()
    assert ended.value.error_type == "client_cancelled"
    with pytest.raises(fal.FalClientHTTPError):
        await handle.cancel()
    (job,) = await jobs_of(ada)
    assert job["priority"] == "low" and job["status"] == "canceled"


async def test_its_errors_are_raised(fal: ModuleType, client: Any, ada: Person, api: World) -> None:
    with pytest.raises(fal.FalClientHTTPError) as wrong:
        await client.submit("fal-ai/flux/dev", {"num_images": 100})
    assert wrong.value.status_code == 422
    assert {tuple(error["loc"]) for error in wrong.value.message} == {
        ("body", "prompt"), ("body", "n"),
    }  # fmt: skip
    with pytest.raises(fal.FalClientHTTPError, match="no model"):
        await client.submit("fal-ai/no-such-model", PROMPT)
    with pytest.raises(fal.FalClientHTTPError) as hooked:
        await client.submit("fal-ai/flux/dev", PROMPT, webhook_url="https://example.com/")
    assert hooked.value.status_code == 422
    for key, status in (("atl_wrong", 401), (await key_of(ada, "jobs:read"), 403)):
        with pytest.raises(fal.FalClientHTTPError) as refused:
            await fal.AsyncClient(key=key).submit("fal-ai/flux/dev", PROMPT)
        assert refused.value.status_code == status
    handle = await client.submit("fal-ai/flux/dev", PROMPT)
    with pytest.raises(fal.FalClientHTTPError) as hidden:
        bob = await key_of(await api.guest())
        await fal.AsyncClient(key=bob).status("fal-ai/flux", handle.request_id)
    assert hidden.value.status_code == 404


async def test_a_file_is_uploaded_and_named_by_its_address(
    fal: ModuleType, client: Any, monkeypatch: pytest.MonkeyPatch, api: World, ada: Person
) -> None:
    assert api.door is not None
    monkeypatch.setattr(fal.client, "REST_URL", f"{api.door.url}/fal")  # it has no setting
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(photo, "PNG")
    address = await client.upload(photo.getvalue(), "image/png", "photo.png", repository="fal")
    given = {**PROMPT, "image_url": address, "strength": 0.9}
    result = await client.subscribe("fal-ai/flux/dev/image-to-image", given)
    assert (result["image"]["width"], result["image"]["height"]) == (64, 64)
    files = (await ada.get("/v1/files", params={"purpose": "input"})).json()["data"]
    assert [file["name"] for file in files] == ["photo.png"]
    link = await announced_link(api, ada)
    other = io.BytesIO()
    Image.new("RGB", (32, 32), "blue").save(other, "PNG")
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        sent = [http.put(link, content=one.getvalue()) for one in (photo, other)]
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}
    file = (await ada.get("/v1/files", params={"purpose": "input"})).json()["data"][0]
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        content = (await http.get(file["url"])).content
    assert hashlib.sha256(content).hexdigest() == file["sha256"], "the row is of this content"
    await ada.delete(f"/v1/files/{file['id']}")
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        assert (await http.put(link, content=photo.getvalue())).status_code == 200
        forged = link.replace("token=", "token=x")
        assert (await http.put(forged, content=photo.getvalue())).status_code == 404
    assert len((await ada.get("/v1/files", params={"purpose": "input"})).json()["data"]) == 1
    with pytest.raises(fal.FalClientHTTPError):
        await client.upload(b"no picture", "image/png", "photo.png", repository="fal")


async def test_a_repetition_after_a_lost_answer_is_charged_once(
    fal: ModuleType, ada: Person, api: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gives up on two answers while they are made, and asks again without saying so."""
    submit = repeated.submit
    asked: Counter[str] = Counter()

    async def slowly(*given: Any, **more: Any) -> Submission:
        done = await submit(*given, **more)
        asked[done.job.id] += 1
        await asyncio.sleep(3)
        return done

    monkeypatch.setattr(repeated, "submit", slowly)
    hasty = fal.AsyncClient(key=await key_of(ada), default_timeout=1.5)
    handle = await hasty.submit("fal-ai/flux/schnell", PROMPT)
    assert asked == {handle.request_id: 1}
    assert [job["id"] for job in await jobs_of(ada)] == [handle.request_id]
    monkeypatch.undo()
    again = await hasty.submit("fal-ai/flux/schnell", PROMPT)
    assert again.request_id != handle.request_id, "an answered request is not repeated"
    keyed = {"Idempotency-Key": "mine"}
    first = await hasty.submit("fal-ai/flux/schnell", PROMPT, headers=keyed)
    assert (await hasty.submit("fal-ai/flux/schnell", PROMPT, headers=keyed)) == first


async def test_who_leaves_a_direct_run_finds_it_again(client: Any, ada: Person, api: World) -> None:
    given = {**PROMPT, "num_images": 4, "num_inference_steps": 60}
    running = asyncio.create_task(client.run("fal-ai/flux/dev", given))

    async def has_begun() -> bool:
        return bool(await jobs_of(ada))

    async def has_left() -> bool:
        async with api.sessions() as session:
            keys = await session.scalars(select(IdempotencyKey.key))
            return any(key.startswith(repeated.LOST) for key in keys)

    await until(has_begun)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(has_left)
    assert len((await client.run("fal-ai/flux/dev", given))["images"]) == 4
    assert len(await jobs_of(ada)) == 1
    await client.run("fal-ai/flux/dev", given)
    assert len(await jobs_of(ada)) == 2


async def test_a_call_that_is_canceled_when_its_client_leaves_is_found_again(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray Serve does: the client's leaving cancels the call, at whatever step it is."""
    body = SubmitBody(generator="image", input={**PROMPT, "steps": 60})
    identity = Identity(ada.id, "user", "free", frozenset())

    async def stays() -> bool:
        return False

    async def ask() -> str:
        job = await repeated.submit_or_take_over(
            api.clients, identity, body, has_left=stays, idempotency_key=None, request_id="r"
        )
        return job.id

    submit, reached = repeated.submit, asyncio.Event()

    async def and_told(*given: Any, **more: Any) -> Submission:
        done = await submit(*given, **more)
        reached.set()
        await asyncio.sleep(0.2)
        return done

    monkeypatch.setattr(repeated, "submit", and_told)
    asking = asyncio.create_task(ask())
    await reached.wait()  # the job is committed
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.gather(*repeated._going_on)
    (job,) = await jobs_of(ada)
    assert await ask() == job["id"]

    async def never() -> dict[str, str]:
        return await asyncio.Future()

    waiting = asyncio.create_task(
        repeated.wait_for_answer(api.clients, ada.id, job["id"], 60, never)
    )
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.gather(*repeated._going_on)
    assert await ask() == job["id"]
    assert await ask() != job["id"], "an answered request is not repeated"
