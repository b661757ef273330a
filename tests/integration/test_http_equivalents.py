"""Requests as clients send them: HEAD and OPTIONS, a slash too many, a lost plus, a form."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from db.session import Sessions
from db.settings import StoreSettings
from tests.support.http import Person, World, problem, served

JOB: dict[str, Any] = {"generator": "image", "input": {"prompt": "a red circle"}}
# What differs from request to request.
PASSING = {"date", "x-request-id", "ratelimit", "content-length"}


@pytest.fixture
async def api(store_settings: StoreSettings, sessions: Sessions) -> AsyncIterator[World]:
    """Behind a real server, which goes by the method as well."""
    async with served(store_settings) as started:
        yield started


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/generators",
     "/v1/generators/image", "/v1/jobs", "/v1/jobs?limit=2", "/v1/jobs/{job}", "/v1/credits",
     "/v1/jobs/{job}/metadata", "/v1/files", "/v1/personas", "/v1/me", "/v1/limits", "/v1/api-keys",
     "/v1/jobs?unknown=1", "/v1/nothing", "/v1/jobs/{job}/cancel"],
)  # fmt: skip
async def test_head_answers_as_get_does_without_a_body(api: World, ada: Person, path: str) -> None:
    path = path.format(job=await ada.job())
    got = await api.http.get(path, headers=ada.headers)
    head = await api.http.head(path, headers=ada.headers)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert int(head.headers["content-length"]) > 0
    assert head.headers.keys() == got.headers.keys()
    for name in head.headers.keys() - PASSING:
        assert head.headers[name] == got.headers[name]


async def test_head_asks_who_is_there(api: World, ada: Person) -> None:
    for path in ("/v1/jobs", f"/v1/jobs/{await ada.job()}/events"):
        answer = await api.http.head(path)
        assert (answer.status_code, answer.content) == (401, b"")


async def test_head_opens_no_stream(api: World, ada: Person) -> None:
    path = f"/v1/jobs/{await ada.job()}/events"
    async with asyncio.timeout(60):  # a stream would last as long as the job waits
        for _ in range(30):  # more than a user may keep open
            answer = await api.http.head(path, headers=ada.headers)
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["content-type"].startswith("text/event-stream")
        missing = await api.http.head("/v1/jobs/job_1/events", headers=ada.headers)
    assert missing.status_code == 404


async def test_head_is_not_in_the_document_and_is_counted_as_head(api: World) -> None:
    async def heads() -> list[str]:
        lines = (await api.http.get("/metrics")).text.splitlines()
        start = 'atelier_http_requests_total{method="HEAD",route="/v1/generators"'
        return [line for line in lines if line.startswith(start)]

    before = await heads()
    await api.http.head("/v1/generators")
    document = (await api.http.get("/openapi.json")).json()
    assert not [path for path, methods in document["paths"].items() if "head" in methods]
    assert await heads() != before


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/jobs", "GET, HEAD, OPTIONS, POST"), ("/v1/auth/token", "OPTIONS, POST"),
     ("/healthz", "GET, HEAD, OPTIONS"), ("/v1/jobs/", "GET, HEAD, OPTIONS, POST"),
     ("/v1/files/uploads", "OPTIONS, POST"), ("/v1/me/passkeys/options", "OPTIONS, POST")],
)  # fmt: skip
async def test_options_tells_the_methods_and_lets_no_other_origin_in(
    api: World, path: str, allowed: str
) -> None:
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    answer = await api.http.options(path, headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == allowed
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_options_of_what_is_not_there_is_not_found(api: World) -> None:
    problem(await api.http.options("/v1/nothing"), 404, "not_found")


async def test_a_trailing_slash_changes_nothing(api: World, ada: Person) -> None:
    made = await ada.post("/v1/jobs/", json=JOB)
    assert made.status_code == 202
    job_id = made.json()["id"]
    assert (await ada.get(f"/v1/jobs/{job_id}/")).json()["id"] == job_id
    assert (await ada.get("/v1/jobs/?limit=1")).json()["data"][0]["id"] == job_id
    assert (await api.http.get("/healthz/")).json() == (await api.http.get("/healthz")).json()
    quoted = await ada.post("/v1/generators/image/quote/", json={"input": JOB["input"]})
    assert quoted.status_code == 200


async def test_a_trailing_slash_is_no_way_around_the_credentials(api: World) -> None:
    problem(await api.http.post("/v1/jobs/", json=JOB), 401, "unauthorized")
    problem(await api.http.get("/v1/jobs/"), 401, "unauthorized")
    problem(await api.http.get("/v1/nothing/"), 404, "not_found")


async def test_a_plus_that_arrives_as_a_blank_is_an_offset(api: World, ada: Person) -> None:
    await ada.job()
    for time, count in (
        ("2000-01-01T00:00:00+02:00", 1),
        ("2000-01-01T00:00:00%2B02:00", 1),
        ("2000-01-01T00:00+0200", 1),
        ("2999-01-01%2000:00:00.5+02:00", 0),
    ):
        answer = await ada.get(f"/v1/jobs?created_after={time}")
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) == count
    # A blank between day and time is no offset.
    unclear = await ada.get("/v1/jobs?created_after=2000-01-01+02:00")
    assert problem(unclear, 422, "bad_input")["errors"][0]["loc"] == ["query", "created_after"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/generators/image/quote", "/v1/jobs/{job}/retry"])
async def test_a_form_where_json_is_taken_is_told_what_to_send(
    api: World, ada: Person, path: str
) -> None:
    path = path.format(job=await ada.job())
    for more in ({"data": {"generator": "image"}}, {"files": {"input": b"words"}}):
        found = problem(await ada.post(path, **more), 415, "unsupported_media_type")
        assert "Content-Type: application/json" in found["detail"]
        assert "form" in found["detail"]
