"""What is refused over HTTP: in words a client can use, without a trace inside or outside."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from db.ids import new_id
from tests.support.http import Person, World, problem

NO_JOB = "job_01M8JGYQM20SBSA0T7WYZNF4Z3"  # always the same: it is in the names of tests
MIB = 1 << 20
INPUT: dict[str, Any] = {"prompt": "a red circle"}
JOB: dict[str, Any] = {"generator": "image", "input": INPUT}


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"MAX_UPLOAD_BYTES": MIB}


def places(found: dict[str, Any]) -> list[list[str | int]]:
    return [error["loc"] for error in found["errors"]]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"sampler": "euler"}, "sampler"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \t\n"}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"negative_prompt": "x" * 2001}, "negative_prompt"),
        ({"width": 10**9}, "width"),
        ({"width": 10**30}, "width"),
        ({"height": 2056}, "height"),
        ({"height": 0}, "height"),
        ({"height": -64}, "height"),
        ({"width": 65}, "width"),
        ({"width": 64.5}, "width"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"steps": 0}, "steps"),
        ({"steps": 101}, "steps"),
        ({"guidance": -0.1}, "guidance"),
        ({"guidance": 1e300}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
    ],
)
async def test_a_bad_input_is_named_by_submit_and_quote_alike(
    api: World, ada: Person, given: dict[str, Any], field: str
) -> None:
    body = {"input": {**INPUT, **given}}
    submitted = await ada.post(
        "/v1/jobs", json={"generator": "image", **body}, headers={"Idempotency-Key": "k"}
    )
    quoted = await ada.post("/v1/generators/image/quote", json=body)
    for answer in (submitted, quoted):
        assert places(problem(answer, 422, "bad_input")) == [["input", field]]
    assert await api.nothing_happened(ada.id)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({**JOB, "tier": "gold"}, ["tier"]),
        ({**JOB, "credits": 0}, ["credits"]),
        ({**JOB, "user_id": "usr_someone"}, ["user_id"]),
        ({**JOB, "priority": "urgent"}, ["priority"]),
        ({**JOB, "priority": 1}, ["priority"]),
        ({**JOB, "generator": "nothing"}, ["generator"]),
        ({**JOB, "generator": "x" * 65}, ["generator"]),
        ({**JOB, "generator": None}, ["generator"]),
        ({"input": INPUT}, ["generator"]),
        ({"generator": "image"}, ["input"]),
        ({**JOB, "input": {}}, ["input", "prompt"]),
        ({**JOB, "input": []}, ["input"]),
        ({**JOB, "input": "a red circle"}, ["input"]),
        ({**JOB, "metadata": {str(n): n for n in range(17)}}, ["metadata"]),
        ({**JOB, "metadata": {"a": "x" * 4096}}, ["metadata"]),
        ({**JOB, "metadata": {"a": {"b": 1}}}, ["metadata", "a", "str"]),
        ({**JOB, "metadata": None}, ["metadata"]),
        ({**JOB, "input": {"prompt": "a\0b"}}, ["input", "prompt"]),
        ({**JOB, "input": {"prompt": "\ud800"}}, ["input", "prompt"]),
        ({**JOB, "input": {"prompt": "a", "list": ["b", {"c": "\0"}]}}, ["input", "list", 1, "c"]),
        ({**JOB, "metadata": {"a\0": 1}}, ["metadata"]),
        ({**JOB, "metadata": {"a": "\udfff"}}, ["metadata", "a"]),
        ({**JOB, "\0": 1}, []),
        ([JOB], []),
        ("text", []),
        (None, []),
    ],
)
async def test_a_bad_job_is_refused_with_the_place_of_the_fault(
    api: World, ada: Person, body: object, place: list[str | int]
) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = await ada.post("/v1/jobs", content=json.dumps(body), headers=headers)
    assert place in places(problem(answer, 422, "bad_input"))
    assert await api.nothing_happened(ada.id)


def job_with(input_value: str = '"a"', metadata_value: str = "1") -> bytes:
    """A job's JSON with text put in, so that it can hold what ``json.dumps`` would not write."""
    given = f'{{"prompt": "a", "guidance": {input_value}}}'
    text = f'{{"generator": "image", "input": {given}, "metadata": {{"a": {metadata_value}}}}}'
    return text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'generator': 'image'}",
        b"\x00",
        b"\xff\xfe\xfd",
        b'{"generator": "image", "input": {"prompt": "\xff"}}',
        json.dumps(JOB).encode() + b"}",
        job_with("NaN"),
        job_with("Infinity"),
        job_with("-Infinity"),
        job_with("1e999"),
        job_with("3", "NaN"),
        job_with("3", "1e999"),
        job_with("9" * 5000),
        job_with("[" * 200 + "]" * 200),
        job_with("[" * 900 + "]" * 900),
        job_with("[" * 100_000 + "]" * 100_000),
        job_with("3", '{"a":' * 50_000 + "1" + "}" * 50_000),
        b"[" * MIB,
    ],
    ids=lambda content: repr(content[:60]) + str(len(content)),
)
async def test_what_is_no_json_or_no_number_is_bad_input(
    api: World, ada: Person, content: bytes
) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = await ada.post("/v1/jobs", content=content, headers=headers)
    found = problem(answer, 422, "bad_input")
    assert found["errors"]
    assert len(answer.content) < 2000, "what was sent does not come back"
    assert await api.nothing_happened(ada.id)


async def test_ten_megabytes_are_refused_by_their_announcement(api: World, ada: Person) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await ada.post("/v1/jobs", content=b" " * (10 * MIB), headers=headers)
    problem(answer, 413, "too_large")
    claimed = {**headers, "Content-Length": "9" * 40}
    problem(await ada.post("/v1/jobs", content=b"{}", headers=claimed), 413, "too_large")
    assert await api.nothing_happened(ada.id)


@pytest.mark.parametrize(
    ("path", "most"),
    [("/v1/jobs", 17), ("/v1/generators/image/quote", 17), ("/v1/auth/token", 1)],
)
async def test_an_unannounced_body_is_read_up_to_the_bound_only(
    api: World, ada: Person, path: str, most: int
) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(160):
            sent += 1
            yield b"a" * (MIB // 16)

    kind = "x-www-form-urlencoded" if path.endswith("token") else "json"
    headers = {"Content-Type": f"application/{kind}"}
    answer = await ada.post(path, content=chunks(), headers=headers)
    assert "content-length" not in answer.request.headers
    problem(answer, 413, "too_large")
    assert sent == most
    assert await api.nothing_happened(ada.id)


async def test_the_largest_allowed_body_is_read(api: World, ada: Person) -> None:
    body = json.dumps(JOB).encode()
    padded = body + b" " * (MIB - len(body))
    headers = {"Content-Type": "application/json"}
    assert (await ada.post("/v1/jobs", content=padded, headers=headers)).status_code == 202
    problem(await ada.post("/v1/jobs", content=padded + b" ", headers=headers), 413, "too_large")


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/jsonp", "application/xml", "json", ""],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/generators/image/quote"])
async def test_another_media_type_is_refused(api: World, ada: Person, path: str, kind: str) -> None:
    content = json.dumps(JOB).encode()
    answer = await ada.post(path, content=content, headers={"Content-Type": kind})
    problem(answer, 415, "unsupported_media_type")
    problem(await ada.post(path, content=content), 415, "unsupported_media_type")
    assert await api.nothing_happened(ada.id)


async def test_json_to_the_log_in_is_told_what_to_send(api: World) -> None:
    answer = await api.http.post("/v1/auth/token", json={"username": "a", "password": "b"})
    detail = problem(answer, 415, "unsupported_media_type")["detail"]
    assert "username=...&password=..." in detail
    assert "application/x-www-form-urlencoded" in detail


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/v1", "/v1/nothing", "/v2/jobs", "/v1/jobs/a/b/c", "/v1/generators/nothing",
     "/v1/jobs/job_1", "/v1/jobs/usr_01J00000000000000000000000", "/v1/jobs/%00",
     "/v1/jobs/..%2F..%2Fetc%2Fpasswd", "/v1/jobs/job_' OR 1=1 --", "/v1/jobs/job_" + "x" * 5000],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(api: World, ada: Person, path: str) -> None:
    problem(await ada.get(path), 404, "not_found")


@pytest.mark.parametrize("part", ["", "/events", "/metadata"])
async def test_a_job_that_never_was_is_not_found(api: World, ada: Person, part: str) -> None:
    problem(await ada.get(f"/v1/jobs/{new_id('job')}{part}"), 404, "not_found")


async def test_cancelling_and_quoting_what_is_not_there_is_not_found(
    api: World, ada: Person
) -> None:
    problem(await ada.post(f"/v1/jobs/{new_id('job')}/cancel"), 404, "not_found")
    quoted = await ada.post("/v1/generators/nothing/quote", json={"input": INPUT})
    problem(quoted, 404, "not_found")
    assert await api.nothing_happened(ada.id)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/jobs"), ("DELETE", "/v1/jobs"), ("POST", "/v1/credits"),
     ("GET", "/v1/auth/token"), ("GET", "/v1/generators/image/quote"),
     ("PATCH", "/v1/generators"), ("TRACE", "/v1/jobs")],
)  # fmt: skip
async def test_another_method_is_refused(api: World, ada: Person, method: str, path: str) -> None:
    answer = await api.http.request(method, path, headers=ada.headers)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]
    assert await api.nothing_happened(ada.id)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", f"/v1/jobs/{NO_JOB}"),
     ("POST", f"/v1/jobs/{NO_JOB}/cancel"), ("GET", f"/v1/jobs/{NO_JOB}/events"),
     ("GET", f"/v1/jobs/{NO_JOB}/metadata"), ("GET", "/v1/credits"),
     ("GET", "/v1/credits/transactions"), ("POST", "/v1/generators/image/quote"),
     ("GET", "/v1/me"), ("GET", "/v1/api-keys")],
)  # fmt: skip
async def test_nothing_of_anybody_is_done_for_nobody(
    api: World, ada: Person, method: str, path: str
) -> None:
    body = JOB if path == "/v1/jobs" else {"input": INPUT}
    more: dict[str, Any] = {"json": body} if method == "POST" else {}
    problem(await api.http.request(method, path, **more), 401, "unauthorized")
    token = ada.tokens["access_token"]
    for header in (
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {token[:-4]}AAAA"},
        {"Authorization": f"Bearer {token} {token}"},
        {"Authorization": "Bearer atl_" + "x" * 43},
        {"X-API-Key": "atl_" + "x" * 43},
        {"X-API-Key": token},
    ):
        answer = await api.http.request(method, path, headers=header, **more)
        problem(answer, 401, "invalid_token")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "ratelimit" not in answer.headers
    problem(
        await api.http.request(method, path, headers={"Authorization": f"Basic {token}"}, **more),
        401,
        "unauthorized",
    )
    assert await api.nothing_happened(ada.id)


async def test_two_headers_that_disagree_are_refused_and_equal_ones_are_not(
    api: World, ada: Person
) -> None:
    keys = [(await ada.post("/v1/api-keys", json={"name": n})).json()["key"] for n in "ab"]
    bearers = [ada.tokens["access_token"], keys[0]]
    for bearer in bearers:
        both = {"Authorization": f"Bearer {bearer}", "X-API-Key": keys[1]}
        answer = await api.http.post("/v1/jobs", json=JOB, headers=both)
        problem(answer, 401, "invalid_token")
    assert await api.nothing_happened(ada.id)
    same = {"Authorization": f"Bearer {keys[0]}", "X-API-Key": keys[0]}
    assert (await api.http.post("/v1/jobs", json=JOB, headers=same)).status_code == 202


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=-1", "limit"), ("limit=ten", "limit"),
     ("limit=1.5", "limit"), ("limit=" + "9" * 5000, "limit"), ("limit=", "limit"),
     ("after=nonsense", "after"), ("after=", "after"), ("after=job_1", "after"),
     ("after=job_01J00000000000000000000000%00", "after"), ("after=' OR 1=1 --", "after"),
     ("after=job_01J00000000000000000000000%0A", "after"),
     ("status=lost", "status"), ("generator=../x", "generator"), ("generator=%00", "generator"),
     ("created_after=yesterday", "created_after"),
     ("created_before=2026-01-01T00:00:00", "created_before"),
     ("created_before=99999-01-01T00:00:00Z", "created_before")],
)  # fmt: skip
async def test_a_list_says_what_is_wrong_with_its_query(
    api: World, ada: Person, query: str, field: str
) -> None:
    found = problem(await ada.get(f"/v1/jobs?{query}"), 422, "bad_input")
    assert places(found) == [["query", field]]
    if field in ("limit", "after"):
        problem(await ada.get(f"/v1/credits/transactions?{query}"), 422, "bad_input")


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "long", "1e999"])
async def test_a_wait_is_bounded(api: World, ada: Person, wait: str) -> None:
    job_id = (await ada.submit()).json()["id"]
    found = problem(await ada.get(f"/v1/jobs/{job_id}?wait={wait}"), 422, "bad_input")
    assert places(found) == [["query", "wait"]]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ü"])
async def test_a_bad_idempotency_key_is_refused(api: World, ada: Person, key: str) -> None:
    answer = await ada.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": key.encode()})
    found = problem(answer, 422, "bad_input")
    assert places(found) == [["header", "Idempotency-Key"]]
    assert await api.nothing_happened(ada.id)


async def test_a_refusal_carries_the_id_it_was_asked_with(api: World, ada: Person) -> None:
    asked = await ada.get("/v1/nothing", headers={"X-Request-ID": "mine-1"})
    assert asked.headers["x-request-id"] == "mine-1"
    for bad in ("a b", "x" * 129, "<script>", ""):
        given = (await ada.get("/v1/nothing", headers={"X-Request-ID": bad})).headers
        assert given["x-request-id"].startswith("req_")


async def test_a_fault_of_ours_says_nothing_of_us(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM users -- /srv/atelier.py")

    monkeypatch.setattr("serve_app.jobs.routes.submit", fails)
    found = problem(await ada.submit(), 500, "internal_error")
    assert "secret" not in json.dumps(found)
    assert await api.nothing_happened(ada.id)
