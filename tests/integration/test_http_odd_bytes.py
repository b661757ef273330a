"""Bytes and headers that no client of good will sends: no request is answered with a 5xx."""

import pytest

from tests.support.http import Person, World, problem


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


ODD_TEXTS = ["%00", "%FF", "%ED%A0%80", "%F0%9F%92%A9", "a" * 3000, "", "%0D%0A", "%E2%80%AE"]


@pytest.mark.parametrize("text", ODD_TEXTS)
async def test_a_form_of_odd_text_is_refused(api: World, text: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (f"username={text}&password=x", f"username=a%40b.example&password={text}"):
        answer = await api.http.post("/v1/auth/token", content=body.encode(), headers=form)
        assert answer.status_code in (401, 422), answer.text


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.png", "\u202e💩.png".encode(), b"a" * 3000 + b".png", b"..", b"../../etc/passwd",
        b"a\x00b.png", b"%00.png", b"\xed\xa0\x80.png", b"con\\..\\b.png",
    ],
)  # fmt: skip
async def test_a_file_of_an_odd_name_is_kept_under_a_plain_one(ada: Person, name: bytes) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n'
    body = head + b"\x89PNG\r\n\x1a\n and more\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await ada.post("/v1/files", content=body, headers=kind)
    assert answer.status_code in (201, 422), answer.text
    if answer.status_code == 201:
        assert len(answer.json()["name"]) <= 120
        assert not set(answer.json()["name"]) & set("/\\\0%")
        again = await ada.get(f"/v1/files/{answer.json()['id']}")
        assert again.status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"multipart/form-data", b"--b\r\n"),
        (b"multipart/form-data; boundary=", b"--\r\n"),
        (b"multipart/form-data; boundary=b", b""),
        (b"multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: x\r\n\r\n\r\n--b--"),
        (b"multipart/form-data; boundary=\xff", b"--\xff--"),
        (b"multipart/form-data; boundary=" + b"b" * 5000, b"x"),
    ],
)  # fmt: skip
async def test_a_form_that_is_none_is_bad_input(ada: Person, kind: bytes, body: bytes) -> None:
    headers = {b"Content-Type": kind, b"Authorization": ada.headers["Authorization"].encode()}
    answer = await ada.world.http.post("/v1/files", content=body, headers=headers)
    problem(answer, 422, "bad_input")


@pytest.mark.parametrize("kind", [b"application/x-www-form-urlencoded", b"\xff\xff", b""])
async def test_what_is_announced_as_no_form_with_a_file_is_refused(
    ada: Person, kind: bytes
) -> None:
    headers = {b"Content-Type": kind, b"Authorization": ada.headers["Authorization"].encode()}
    answer = await ada.world.http.post("/v1/files", content=b"file=%FF", headers=headers)
    problem(answer, 415, "unsupported_media_type")


async def test_headers_that_come_twice_or_are_no_text_fail_nothing(ada: Person) -> None:
    token = ada.headers["Authorization"].encode()
    for more in (
        [(b"Authorization", b"Bearer x")],
        [(b"X-API-Key", b"\xff\xfe")],
        [(b"Content-Type", b"text/plain"), (b"Content-Type", b"application/json")],
        [(b"Content-Type", b"application/json; charset=utf-16")],
        [(b"Idempotency-Key", b"one"), (b"Idempotency-Key", b"two")],
        [(b"X-Request-ID", b"\xff"), (b"X-Request-ID", b"b")],
        [(b"X-Forwarded-For", b"\xff, , 999.1.1.1"), (b"X-Forwarded-Proto", b"javascript")],
        [(b"Accept", b"\xff/\xff"), (b"Cookie", b"a=\xff; =;;")],
        [(b"Host", b"\xff"), (b"Host", b"a/b")],
    ):
        for method, path, content in (("GET", "/v1/me", b""), ("POST", "/v1/jobs", b"{}")):
            headers = [(b"Authorization", token), *more]
            answer = await ada.world.http.request(method, path, headers=headers, content=content)
            assert answer.status_code in (200, 401, 415, 422), (more, answer.text)


@pytest.mark.parametrize(
    "last", [b"\xff", b"0-0-0", b"9" * 19 + b"-" + b"9" * 19, b"-1", b"\xb2-0"]
)
async def test_an_odd_position_in_a_stream_is_taken_for_none(
    api: World, ada: Person, last: bytes
) -> None:
    job = await api.end((await ada.submit()).json()["id"], "failed")
    headers = {b"Last-Event-ID": last, b"Authorization": ada.headers["Authorization"].encode()}
    answer = await api.http.get(f"/v1/jobs/{job.id}/events", headers=headers)
    assert answer.status_code == 200
    assert "event: done" in answer.text
