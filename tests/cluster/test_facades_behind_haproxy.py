"""The packages of other services before the whole application, at the address that users have.

Their every call is tried by tests/integration/test_*_client.py, which speak to the API itself.
Here a request goes through HAProxy and Serve: a picture made, a stream, an upload and an error.
fal's package, which speaks TLS alone, is not among them.
"""

import base64
import io

import httpx
import httpx2
import numpy as np
import openai
import pytest
import replicate
import replicate.exceptions
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent
from PIL import Image

from models.tiny.checker import read_shape
from tests.support.application import HANG_S, Application, pids
from tests.support.rays import Rays

pytestmark = pytest.mark.timeout(1800)

PROMPT = "a big yellow circle on a blue background"
GIVEN = {"prompt": PROMPT, "seed": 7}


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared)
    started.redeploy()
    assert pids("ray::HAProxyManager"), "requests go through HAProxy, as users' do"
    return started


@pytest.fixture
def key(ada: httpx.Client) -> str:
    return ada.headers["X-API-Key"]


def as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def shape(content: bytes) -> tuple[str, str]:
    seen = read_shape(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    return seen["color"], seen["background"]


def fetched(link: str) -> bytes:
    return httpx.get(link, timeout=HANG_S).raise_for_status().content


def test_openais_client(application: Application, key: str) -> None:
    base_url = f"{application.base_url}/openai/v1"
    with openai.OpenAI(base_url=base_url, api_key=key, timeout=HANG_S) as client:
        made = client.images.generate(prompt=PROMPT, size="64x64", extra_body={"seed": 7})
        assert made.data is not None and made.data[0].b64_json is not None
        assert shape(base64.b64decode(made.data[0].b64_json)) == ("yellow", "blue")
        told = client.images.generate(
            prompt=PROMPT, size="64x64", stream=True, extra_body={"seed": 7, "steps": 20}
        )
        assert [event.type for event in told][-1] == "image_generation.completed"
        photo = as_png(Image.new("RGB", (64, 64), (200, 30, 30)))
        edited = client.images.edit(image=("photo.png", photo), prompt=PROMPT, size="64x64")
        assert edited.data is not None and edited.data[0].b64_json is not None
        with pytest.raises(openai.BadRequestError) as refused:
            client.images.generate(prompt=PROMPT, extra_body={"colour": "red"})
        assert (refused.value.code, refused.value.param) == ("unknown_parameter", "colour")


def test_replicates_client(application: Application, key: str) -> None:
    client = replicate.Client(api_token=key, base_url=f"{application.base_url}/replicate")
    made = client.predictions.create(version="atelier/image", input=GIVEN)
    made.wait()
    assert made.status == "succeeded" and made.output is not None
    assert shape(fetched(made.output[0])) == ("yellow", "blue")
    assert made.logs is not None and "attempt 1 began" in made.logs
    photo = io.BytesIO(as_png(Image.new("RGB", (64, 64), (200, 30, 30))))
    uploaded = client.files.create(photo, filename="photo.png")
    assert client.files.get(uploaded.id).checksums == uploaded.checksums
    with pytest.raises(replicate.exceptions.ReplicateError) as refused:
        client.predictions.create(version="atelier/image", input={"prompt": ""})
    assert refused.value.status == 422


async def test_agents_by_mcp(application: Application, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=HANG_S) as http:
        transport = streamable_http_client(f"{application.base_url}/mcp", http_client=http)
        async with Client(transport, read_timeout_seconds=HANG_S) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert "list_generators" in tools
            said = await client.call_tool("list_generators", {})
            assert not said.is_error
            assert any("image" in one.text for one in said.content if isinstance(one, TextContent))
            wrong = await client.call_tool("get_job", {"job_id": "job_unknown"})
            assert wrong.is_error
