"""The real nginx, with ops/nginx as it stands, before the real API."""

import asyncio
import io
import json
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from db.object_store import ObjectStore
from db.redis.client import publish_event
from db.session import Sessions
from db.settings import StoreSettings
from deployments.messaging.job_events import progress_event, status_event
from tests.support.http import PASSWORD, World, listening, served
from tests.support.jobs import claim
from tests.support.nginx import (
    FILES,
    NAME,
    Nginx,
    is_installed,
    nginx_before,
    said_of_debians_main_file,
)

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs nginx")

UPLOAD_BYTES = 200_000_000
LOOK_EVERY_BYTES = 5_000_000
# nginx keeps two processes, its zones and its buffers; a body in memory would be 200 MB more.
MOST_MEMORY_BYTES = 100_000_000
OWN_HEADERS = (
    "x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy",
    "cross-origin-resource-policy", "strict-transport-security", "x-request-id",
)  # fmt: skip


@asynccontextmanager
async def behind_nginx(
    stores: StoreSettings, changes: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[tuple[World, Nginx]]:
    """A world that is spoken to through nginx."""
    async with served(stores, **settings) as direct:
        assert direct.door is not None
        upstream = direct.door.url.removeprefix("http://")
        async with (
            nginx_before(upstream, changes or {}) as nginx,
            httpx.AsyncClient(base_url=nginx.url, verify=nginx.trust, timeout=90) as client,
        ):
            yield World(direct.api, client, direct.door), nginx


@pytest.fixture
async def front(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[tuple[World, Nginx]]:
    async with behind_nginx(store_settings, MAX_UPLOAD_BYTES=UPLOAD_BYTES * 2) as both:
        yield both


def problem(answer: httpx.Response, status: int, code: str) -> None:
    """A problem document that nginx has written."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:atelier:problem:{code}"
    assert_protected(answer)


def assert_protected(answer: httpx.Response) -> None:
    """Each header is there once, whoever wrote it."""
    for name in OWN_HEADERS:
        assert len(answer.headers.get_list(name)) == 1, name


def context(nginx: Nginx, version: ssl.TLSVersion) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    # OpenSSL itself would say nothing older than 1.2 otherwise, and the test nothing of nginx.
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.minimum_version = made.maximum_version = version
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


async def shake_hands(nginx: Nginx, version: ssl.TLSVersion, name: str = NAME) -> tuple[str, str]:
    """The version and the protocol that both agree on."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", nginx.port, ssl=context(nginx, version), server_hostname=name
    )
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return str(tls.version()), str(tls.selected_alpn_protocol())
    finally:
        writer.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_is_new_and_only_for_the_name(front: tuple[World, Nginx]) -> None:
    _, nginx = front
    assert await shake_hands(nginx, ssl.TLSVersion.TLSv1_2) == ("TLSv1.2", "h2")
    assert await shake_hands(nginx, ssl.TLSVersion.TLSv1_3) == ("TLSv1.3", "h2")
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        await shake_hands(nginx, ssl.TLSVersion.TLSv1_1)
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        await shake_hands(nginx, ssl.TLSVersion.TLSv1_3, "other.example.com")


async def test_plain_http_leads_to_https(front: tuple[World, Nginx]) -> None:
    _, nginx = front
    url = f"http://{NAME}:{nginx.plain_port}"
    async with httpx.AsyncClient(base_url=url, timeout=90) as client:
        answer = await client.post("/v1/jobs?wait=1", json={})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{NAME}/v1/jobs?wait=1"


async def test_headers_of_the_service_come_through_once(front: tuple[World, Nginx]) -> None:
    api, nginx = front
    ada = await api.guest()
    mine = await ada.get("/v1/me", headers={"X-Request-ID": "my-own-id"})
    assert mine.status_code == 200
    assert mine.headers["x-request-id"] == "my-own-id"
    assert mine.headers["cache-control"] == "no-store"
    missing = await api.http.get("/v1/nothing?token=secret")
    assert missing.json()["instance"] == "/v1/nothing", "the service's own problem document"
    for answer in (mine, missing):
        assert_protected(answer)
        assert "ray" not in answer.headers["server"]
    lines = [json.loads(line) for line in nginx.log().splitlines()]
    assert {"my-own-id", missing.headers["x-request-id"]} <= {one["request_id"] for one in lines}
    assert "secret" not in nginx.log()


async def test_a_client_cannot_say_where_it_comes_from(store_settings: StoreSettings) -> None:
    """Registrations are counted by address: two of them from one address are one too many."""
    async with behind_nginx(store_settings, REGISTRATIONS_PER_ADDRESS=1) as (api, _):
        statuses = []
        for number in (1, 2):
            body = {"email": f"nginx-{number}@example.com", "password": PASSWORD}
            forged = {"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": "198.51.100.9"}
            answer = await api.http.post("/v1/auth/register", json=body, headers=forged)
            statuses.append(answer.status_code)
    assert statuses == [201, 429]


async def test_a_network_in_front_is_believed_where_it_is_named(
    store_settings: StoreSettings,
) -> None:
    """As with a CDN: its clients are told apart, and are no operators."""
    changes = {
        "include atelier/cdn.conf;": "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"
    }
    async with behind_nginx(store_settings, changes, REGISTRATIONS_PER_ADDRESS=1) as (api, _):
        for number in (1, 2):
            body = {"email": f"cdn-{number}@example.com", "password": PASSWORD}
            client = {"X-Forwarded-For": f"198.51.100.{number}"}
            answer = await api.http.post("/v1/auth/register", json=body, headers=client)
            assert answer.status_code == 201, answer.text
        for path in ("/metrics", "/-/routes", "/v1/admin/queues", "/v1/admin"):
            problem(await api.http.get(path, headers=client), 404, "not_found")


async def test_operators_reach_what_is_not_public(front: tuple[World, Nginx]) -> None:
    api, _ = front
    assert "atelier_http_requests_total" in (await api.http.get("/metrics")).text
    assert (await api.http.get("/v1/admin/queues")).json()["code"] == "unauthorized"


class Upload(io.RawIOBase):
    """A sound of ``UPLOAD_BYTES`` that is made while it is read; looks at nginx meanwhile."""

    HEAD = b"RIFF" + (UPLOAD_BYTES - 8).to_bytes(4, "little") + b"WAVEfmt \x10\x00\x00\x00"

    def __init__(self, nginx: Nginx) -> None:
        self._nginx = nginx
        self._at = 0
        self.buffered: set[str] = set()
        self.memory_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, UPLOAD_BYTES)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = UPLOAD_BYTES - self._at
        size = min(left, 1 << 20 if size < 0 else size)
        piece = (self.HEAD + bytes(size))[:size] if self._at == 0 else bytes(size)
        if self._at // LOOK_EVERY_BYTES != (self._at + size) // LOOK_EVERY_BYTES:
            self.buffered |= {path.name for path in self._nginx.buffered_files()}
            self.memory_bytes = max(self.memory_bytes, self._nginx.memory_bytes())
        self._at += size
        return piece


async def test_200_mb_go_through_without_a_copy(front: tuple[World, Nginx]) -> None:
    api, nginx = front
    ada = await api.guest()
    sound = Upload(nginx)
    # It has what httpx calls, and not the rest of a file.
    file: IO[bytes] = sound  # type: ignore[assignment]
    answer = await ada.post(
        "/v1/files", files={"file": ("long.wav", file, "audio/wav")}, timeout=400
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["bytes"] == UPLOAD_BYTES
    assert sound.buffered == set()
    assert 0 < sound.memory_bytes < MOST_MEMORY_BYTES


async def test_events_come_while_the_stream_is_open(
    front: tuple[World, Nginx], redis: Redis
) -> None:
    """Were they held back, the next one would be waited for in vain."""
    api, _ = front
    ada = await api.guest()
    job_id = await ada.job()
    async with listening(ada, job_id) as stream:
        assert (await stream.next()).data["status"] == "queued"
        await claim(api.sessions, job_id, 1)
        await publish_event(redis, job_id, status_event("running", 1))
        assert (await stream.next()).data["status"] == "running"
        await publish_event(redis, job_id, progress_event(0.5, "drawing"))
        assert (await stream.next()).data["fraction"] == 0.5


async def test_events_come_over_a_websocket(front: tuple[World, Nginx], redis: Redis) -> None:
    api, nginx = front
    ada = await api.guest()
    job_id = await ada.job()
    address = f"wss://{NAME}:{nginx.port}/v1/jobs/{job_id}/ws"
    async with connect(address, ssl=nginx.trust, additional_headers=ada.headers) as socket:
        async with asyncio.timeout(60):
            assert json.loads(await socket.recv())["data"]["status"] == "queued"
            await claim(api.sessions, job_id, 1)
            await publish_event(redis, job_id, status_event("running", 1))
            assert json.loads(await socket.recv())["data"]["status"] == "running"


async def test_what_is_public_is_cached_and_compressed(front: tuple[World, Nginx]) -> None:
    api, _ = front
    first, second = [await api.http.get("/docs/swagger-ui.css") for _ in range(2)]
    assert [one.headers["x-cache"] for one in (first, second)] == ["MISS", "HIT"]
    assert first.content == second.content
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for answer in (first, second):
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["cache-control"] == "public, max-age=86400"
        assert_protected(answer)
    ada = await api.guest()
    with_token = await ada.get("/docs/swagger-ui.css")
    assert with_token.headers["x-cache"] == "BYPASS"
    assert (await api.http.get("/docs/swagger-ui.css")).headers["x-cache"] == "HIT"
    assert "x-cache" not in (await ada.get("/v1/me")).headers


async def test_log_ins_and_events_are_not_compressed(front: tuple[World, Nginx]) -> None:
    api, _ = front
    ada = await api.person()
    answer = await api.http.post(
        "/v1/auth/token", data={"username": ada.email, "password": PASSWORD}
    )
    assert len(answer.content) > 0 and "content-encoding" not in answer.headers
    job_id = await ada.job()
    async with api.http.stream(
        "GET", f"/v1/jobs/{job_id}/events", headers={**ada.headers, "Accept-Encoding": "gzip"}
    ) as events:
        assert "content-encoding" not in events.headers


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(
    front: tuple[World, Nginx],
) -> None:
    """Nothing of the body follows: nginx answers by what is announced."""
    _, nginx = front
    reader, writer = await asyncio.open_connection(NAME, nginx.port, ssl=nginx.trust)
    writer.write(
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 40000000\r\n\r\n"
    )
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        assert length is not None
        body = json.loads(await reader.readexactly(int(length[1])))
    writer.close()
    assert head.startswith("HTTP/1.1 413 ")
    assert "application/problem+json" in head
    assert (body["status"], body["code"]) == (413, "too_large")


async def test_an_address_and_a_key_that_send_too_much_are_told_so(
    store_settings: StoreSettings,
) -> None:
    slow = {"rate=200r/s": "rate=1r/m", "burst=400": "burst=2"}
    async with behind_nginx(store_settings, slow) as (api, _):
        answers = [await api.http.get("/healthz") for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    problem(answers[-1], 429, "rate_limited")
    assert answers[-1].headers["retry-after"]

    slow = {"rate=50r/s": "rate=1r/m", "burst=200": "burst=2"}
    async with behind_nginx(store_settings, slow) as (api, _):
        ada, bob = await api.guest(), await api.guest()
        statuses = [(await ada.get("/v1/me")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert (await bob.get("/v1/me")).status_code == 200, "another key at the same address"
        assert (await api.http.get("/healthz")).status_code == 200, "no key"


async def test_too_many_streams_of_an_address_are_refused(store_settings: StoreSettings) -> None:
    few = {"limit_conn atelier_open 512": "limit_conn atelier_open 2"}
    async with behind_nginx(store_settings, few) as (api, _):
        ada = await api.guest()
        job_id = await ada.job()
        async with listening(ada, job_id) as first, listening(ada, job_id) as second:
            await first.next()
            await second.next()
            problem(await ada.get("/v1/me"), 429, "rate_limited")


async def test_a_service_that_is_away_is_a_503_that_says_when_to_come_back(
    front: tuple[World, Nginx],
) -> None:
    api, _ = front
    assert api.door is not None
    assert (await api.http.get("/healthz")).status_code == 200
    await api.door.shut()
    answer = await api.http.get("/healthz")
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"]


async def test_links_and_forms_of_the_object_store_work_through_it(
    store_settings: StoreSettings, objects: ObjectStore
) -> None:
    """The signature covers the name and the port that the client asks for."""
    store = store_settings.s3_endpoint.removeprefix("http://")
    async with nginx_before("127.0.0.1:9", {}, store) as nginx:
        public = f"https://{FILES}:{nginx.port}"
        signer = ObjectStore.open(store_settings.model_copy(update={"s3_public_endpoint": public}))
        await objects.put_bytes("temp/job/a.txt", b"content", "text/plain")
        link = signer.presign_get("temp/job/a.txt", timedelta(minutes=5))
        form_url, fields = signer.presign_post("temp/job/b.txt", 7, timedelta(minutes=5))
        # The name of the files leads nowhere here, so it is asked for at the address.
        here = {
            "headers": {"Host": f"{FILES}:{nginx.port}"},
            "extensions": {"sni_hostname": FILES},
        }
        async with httpx.AsyncClient(verify=nginx.trust, timeout=90) as client:
            address = f"https://127.0.0.1:{nginx.port}"
            answer = await client.get(link.replace(public, address), **here)
            form = form_url.replace(public, address)
            sent = await client.post(form, data=fields, files={"file": b"written"}, **here)
            refused = await client.put(f"{address}/atelier/temp/job/c.txt", **here)
    assert (answer.status_code, answer.content) == (200, b"content")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert sent.status_code in (200, 204)
    assert await objects.get_bytes("temp/job/b.txt") == b"written"
    assert refused.status_code == 405


def test_the_main_file_of_the_distribution_takes_it(tmp_path: Path) -> None:
    """Whatever that sets itself, such as gzip, must not be set twice."""
    status, words = said_of_debians_main_file(tmp_path)
    assert status == 0, words
    assert "[emerg]" not in words
    (tmp_path / "conf.d" / "broken.conf").write_text("gzip on;\n")
    done = subprocess.run(
        ["nginx", "-t", "-p", tmp_path, "-c", "nginx.conf"], capture_output=True, check=False
    )
    assert done.returncode == 1
