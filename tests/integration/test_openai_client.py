"""The real openai package, with nothing changed but its base URL."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path

import av
import httpx
import httpx2
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI
from PIL import Image
from redis.asyncio import Redis

from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Job
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.at_work import at_work
from tests.support.http import Person, World, served
from tests.support.waiting import HANG_S

# Theirs: OpenAI's own service is gone.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

GENERATORS = [f"deployments.generators.{name}" for name in ("image", "video3d", "story_video")]
CIRCLE = "a big yellow circle on a blue background"
SIZE = "64x64"


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, stores: Stores, tmp_path: Path
) -> AsyncIterator[World]:
    aliases = {"MODEL_ALIASES": {"runway": "video3d"}}
    async with (
        served(store_settings, GENERATORS, WELCOME_CREDITS=1000, **aliases) as started,
        at_work(stores, GENERATORS, tmp_path),
    ):
        yield started


@pytest.fixture
async def client(api: World, ada: Person) -> AsyncIterator[AsyncOpenAI]:
    made = await ada.post("/v1/api-keys", json={"name": "openai"})
    async with connected(api, made.json()["key"]) as client:
        yield client


def connected(api: World, key: str) -> AsyncOpenAI:
    assert api.door is not None
    return AsyncOpenAI(base_url=f"{api.door.url}/openai/v1", api_key=key)


def picture(encoded: str | None) -> Image.Image:
    assert encoded is not None
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def shape(image: Image.Image) -> tuple[str, str]:
    seen = read_shape(np.asarray(image.convert("RGB")))
    return seen["color"], seen["background"]


async def test_models_are_listed_by_every_name(client: AsyncOpenAI) -> None:
    named = {model.id: model.owned_by async for model in client.models.list()}
    assert named["gpt-image-2"] == "image"
    assert named["sora-2"] == named["story_video"] == "story_video"
    assert named["runway"] == "video3d", "an alias of the operator"
    assert (await client.models.retrieve("sora-2")).owned_by == "story_video"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("gpt-5")
    assert refused.value.code == "model_not_found"


async def test_pictures_are_generated(client: AsyncOpenAI, api: World, ada: Person) -> None:
    made = await client.images.generate(
        model="gpt-image-2", prompt=CIRCLE, n=2, size=SIZE, extra_body={"seed": 7}
    )
    assert made.data is not None and len(made.data) == 2
    assert (made.size, made.output_format, made.background) == (SIZE, "png", "opaque")
    for one in made.data:
        assert shape(picture(one.b64_json)) == ("yellow", "blue")
    balance, held = await api.assert_adds_up(ada.id)
    assert (balance, held) == (1000 - 4, 0)


async def test_a_link_and_another_format(client: AsyncOpenAI) -> None:
    made = await client.images.generate(
        prompt=CIRCLE,
        size=SIZE,
        response_format="url",
        output_format="webp",
        extra_body={"seed": 7},
    )
    assert made.data is not None and made.data[0].url is not None
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        answer = await http.get(made.data[0].url)
    assert Image.open(io.BytesIO(answer.content)).format == "WEBP"


async def test_a_picture_is_streamed_with_partial_images(client: AsyncOpenAI) -> None:
    stream = await client.images.generate(
        prompt=CIRCLE, n=8, size=SIZE, stream=True, partial_images=1,
        extra_body={"seed": 7, "steps": 100},
    )  # fmt: skip
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image"] + ["image_generation.completed"] * 8
    assert picture(events[0].b64_json).size == (64, 64)
    assert shape(picture(events[1].b64_json)) == ("yellow", "blue")


async def test_a_picture_is_edited_where_the_mask_is_transparent(client: AsyncOpenAI) -> None:
    before = Image.new("RGB", (64, 64), (200, 30, 30))
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (32, 0, 64, 64))
    made = await client.images.edit(
        image=("photo.png", as_png(before)),
        mask=("mask.png", as_png(mask)),
        prompt=CIRCLE,
        size="64x64",
    )
    assert made.data is not None
    after = np.asarray(picture(made.data[0].b64_json).convert("RGB")).astype(int)
    changed = np.abs(after - np.asarray(before)).max(axis=2)
    assert changed[:, :24].max() == 0
    assert changed[:, 40:].max() > 40


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


async def test_what_is_wrong_is_said_in_their_words(client: AsyncOpenAI, api: World) -> None:
    with pytest.raises(openai.BadRequestError) as unknown:
        await client.images.generate(prompt=CIRCLE, extra_body={"colour": "red"})
    assert (unknown.value.code, unknown.value.param) == ("unknown_parameter", "colour")
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.images.generate(prompt=CIRCLE, size="63x64")
    assert (wrong.value.type, wrong.value.param) == ("invalid_request_error", "size")
    for seconds in ("0", "05999", "601", "1" + "0" * 5000, "four"):
        with pytest.raises(openai.BadRequestError) as long:
            await client.videos.create(prompt=CIRCLE, seconds=seconds)
        assert long.value.param == "seconds"
    with pytest.raises(openai.BadRequestError) as person:
        await client.videos.create(
            prompt=CIRCLE, model="video3d", extra_body={"input_reference": {"file_id": "a\0b"}}
        )
    assert person.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError) as model:
        await client.images.generate(prompt=CIRCLE, model="sora-2")
    assert model.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        await client.images.edit(
            image=[("a.png", as_png(Image.new("RGB", (8, 8))))] * 2, prompt=CIRCLE
        )
    async with connected(api, "atl_wrong") as stranger:
        with pytest.raises(openai.AuthenticationError) as key:
            await stranger.images.generate(prompt=CIRCLE)
        assert key.value.code == "invalid_api_key"


async def test_who_has_no_credits_hears_so_once(api: World, client: AsyncOpenAI) -> None:
    seen: list[int] = []

    async def count(answer: httpx2.Response) -> None:
        seen.append(answer.status_code)

    hooks = httpx2.AsyncClient(timeout=HANG_S, event_hooks={"response": [count]})
    counting = client.with_options(http_client=hooks)
    with pytest.raises(openai.RateLimitError) as refused:
        await counting.images.generate(
            prompt=CIRCLE, size="2048x2048", n=8, extra_body={"steps": 100}
        )
    assert refused.value.code == "insufficient_quota"
    assert seen == [429], "repeating it cannot help"
    await hooks.aclose()


class AnswerLost(httpx2.AsyncHTTPTransport):
    """Sends the first requests whole, and breaks the connection before their answers are read."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left, self.sent = times, 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent += 1
        answer = await super().handle_async_request(request)
        if self.left:
            self.left -= 1
            await answer.aclose()
            raise httpx2.ReadError("the connection was lost", request=request)
        return answer


@pytest.mark.parametrize("what", ["pictures", "edit", "film"])
async def test_a_repeated_request_is_charged_once(
    api: World, ada: Person, client: AsyncOpenAI, what: str
) -> None:
    lost = AnswerLost(2)
    async with httpx2.AsyncClient(transport=lost) as http:
        shaky = client.with_options(http_client=http)
        match what:
            case "pictures":
                await shaky.images.generate(prompt=CIRCLE, size=SIZE)
            case "edit":
                photo = ("photo.png", as_png(Image.new("RGB", (64, 64), "red")))
                await shaky.images.edit(image=photo, prompt=CIRCLE)
            case _:
                await shaky.videos.create(prompt=CIRCLE, model="runway", seconds="4", size="64x64")
    assert lost.sent == 3
    assert await api.count(Job, ada.id) == 1
    await client.images.generate(prompt=CIRCLE, size=SIZE)
    assert await api.count(Job, ada.id) == 2, "another request, if alike, is no repetition"


async def test_repeats_that_come_at_once_are_charged_once(
    api: World, ada: Person, client: AsyncOpenAI
) -> None:
    again = {"x-stainless-retry-count": "1"}
    made = await asyncio.gather(
        *(client.images.generate(prompt=CIRCLE, size=SIZE, extra_headers=again) for _ in range(4))
    )
    assert await api.count(Job, ada.id) == 1
    assert len({one.data[0].b64_json for one in made if one.data}) == 1


async def test_an_idempotency_key_says_which_request_is_meant(
    api: World, ada: Person, client: AsyncOpenAI
) -> None:
    photo = ("photo.png", as_png(Image.new("RGB", (64, 64), "red")))
    for key in ("one", "one", "two"):
        headers = {"Idempotency-Key": key}
        await client.images.edit(image=photo, prompt=CIRCLE, extra_headers=headers)
    assert await api.count(Job, ada.id) == 2


async def test_a_film_is_made_listed_downloaded_remixed_and_deleted(client: AsyncOpenAI) -> None:
    film = await client.videos.create_and_poll(
        prompt=CIRCLE, model="runway", seconds="4", size="128x64"
    )
    assert (film.status, film.progress, film.error) == ("completed", 100, None)
    assert (film.model, film.seconds, film.size, film.prompt) == ("runway", "4", "128x64", CIRCLE)
    content = (await client.videos.download_content(film.id)).content
    with av.open(io.BytesIO(content)) as opened:
        stream = opened.streams.video[0]
        assert (stream.width, stream.height) == (128, 64)
        assert float(stream.duration * stream.time_base) == pytest.approx(4, abs=0.2)
    still = (await client.videos.download_content(film.id, variant="thumbnail")).content
    assert Image.open(io.BytesIO(still)).size == (128, 64)
    with pytest.raises(openai.NotFoundError):
        await client.videos.download_content(film.id, variant="spritesheet")

    other = "a small red square on a white background"
    remixed = await client.videos.remix(film.id, prompt=other)
    assert (remixed.remixed_from_video_id, remixed.prompt) == (film.id, other)
    remixed = await client.videos.poll(remixed.id, poll_interval_ms=100)
    assert (remixed.status, remixed.size) == ("completed", "128x64")
    assert [one.id async for one in client.videos.list(limit=1)] == [remixed.id, film.id]

    assert (await client.videos.delete(film.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.videos.retrieve(film.id)


async def test_sora_tells_a_story(client: AsyncOpenAI) -> None:
    tale = "Mira was a woman with red hair. Mira walked along the beach."
    film = await client.videos.create(prompt=tale, model="sora-2", seconds="4", size="640x360")
    film = await client.videos.poll(film.id, poll_interval_ms=200)
    assert film.status == "completed", film.error
    with av.open(io.BytesIO((await client.videos.download_content(film.id)).content)) as opened:
        assert (opened.streams.video[0].width, opened.streams.video[0].height) == (640, 360)
        assert opened.streams.audio, "it is spoken"


async def test_a_picture_to_begin_with(client: AsyncOpenAI) -> None:
    photo = ("photo.png", as_png(Image.new("RGB", (64, 64), "red")))
    film = await client.videos.create(
        prompt=CIRCLE, model="video3d", input_reference=photo, size="64x64"
    )
    assert (await client.videos.poll(film.id, poll_interval_ms=100)).status == "completed"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.videos.create(prompt=CIRCLE, model="sora-2", input_reference=photo)
    assert refused.value.param == "input_reference"


async def test_a_film_that_failed_says_why(client: AsyncOpenAI, ada: Person, api: World) -> None:
    film = await client.videos.create(prompt=CIRCLE, model="sora-2", seconds="12")
    await ada.post(f"/v1/jobs/{film.id}/cancel")
    film = await client.videos.poll(film.id, poll_interval_ms=100)
    assert film.status == "failed" and film.error is not None
    assert film.error.code == "canceled"
    await api.assert_adds_up(ada.id)
