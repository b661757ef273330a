"""What a client has already is not sent again, and JSON is sent small."""

import gzip
from typing import Any

import httpx
import pytest

from db.object_store import output_key
from tests.support.agents import key_of
from tests.support.http import PASSWORD, Person, World
from tests.support.jobs import claim


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"LINK_SECONDS": 7 * 86400}  # links are the same for half a day


@pytest.fixture
async def made(api: World, ada: Person) -> str:
    """The path of a job with an output."""
    job_id = await ada.job()
    await claim(api.sessions, job_id, 1)
    key = output_key(ada.id, job_id, 1, "image-0.png")
    output = {
        "name": "image-0.png", "kind": "image", "content_type": "image/png", "bytes": 9,
        "sha256": "0" * 64, "object_key": key,
    }  # fmt: skip
    await api.end(job_id, "succeeded", 1.0, [output])
    return f"/v1/jobs/{job_id}"


async def as_sent(person: Person, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """An answer, and its body as it came."""
    sent = {**person.headers, **headers}
    async with person.world.http.stream("GET", path, headers=sent) as answer:
        return answer, b"".join([part async for part in answer.aiter_raw()])


async def test_what_did_not_change_is_answered_with_304(ada: Person, made: str) -> None:
    for path in ("/v1/generators", "/openapi.json", made):
        first = await ada.get(path, headers={"Accept-Encoding": "identity"})
        tag = first.headers["etag"]
        assert tag.startswith('"') and first.content
        for known in (tag, f'"other", W/{tag}', "*"):
            again = await ada.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
            assert "content-length" not in again.headers
        for other in ('"other"', tag.strip('"')):
            assert (await ada.get(path, headers={"If-None-Match": other})).status_code == 200
    outputs = (await ada.get(made)).json()["outputs"]
    assert outputs[0]["url"].startswith("http"), "also what has links is the same"


async def test_what_changed_is_sent(api: World, ada: Person) -> None:
    job_id = await ada.job()
    for path in ("/v1/generators", f"/v1/jobs/{job_id}"):
        known = {"If-None-Match": (await ada.get(path)).headers["etag"]}
        assert (await ada.get(path, headers=known)).status_code == 304
        await ada.job()
        await claim(api.sessions, await ada.job(), 1)
        if path != "/v1/generators":
            await api.end(job_id, "failed")
        changed = await ada.get(path, headers=known)
        assert changed.status_code == 200
        assert changed.headers["etag"] != known["If-None-Match"]


async def test_json_is_compressed_for_who_takes_it(api: World, ada: Person) -> None:
    for _ in range(2):
        await ada.job()
    for path in ("/v1/generators", "/openapi.json", "/v1/jobs"):
        plain, whole = await as_sent(ada, path, **{"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "Accept-Encoding"
        small, packed = await as_sent(ada, path, **{"Accept-Encoding": "gzip, br"})
        assert small.headers["content-encoding"] == "gzip"
        assert small.headers["vary"] == "Accept-Encoding"
        assert int(small.headers["content-length"]) == len(packed) < len(whole) / 2
        assert gzip.decompress(packed) == whole
        if "etag" in plain.headers:
            assert small.headers["etag"] == f"W/{plain.headers['etag']}"
            known = {"If-None-Match": small.headers["etag"]}
            assert (await ada.get(path, headers=known)).status_code == 304


async def test_neither_small_answers_nor_secrets_nor_other_kinds_are_compressed(
    api: World, ada: Person
) -> None:
    person = await api.person()
    for _ in range(10):
        await key_of(person)
    for path in ("/v1/me", "/v1/api-keys", "/docs/swagger-ui.css", "/v1/credits/transactions.csv"):
        answer = await person.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
    assert len((await person.get("/v1/api-keys")).content) > 1024
    login = {"username": person.email, "password": PASSWORD}
    tokens = await api.http.post("/v1/auth/token", data=login)
    assert tokens.status_code == 200 and "content-encoding" not in tokens.headers
