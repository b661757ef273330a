"""Sending to addresses that users name."""

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deployments.messaging import http_client
from deployments.messaging.http_client import RequestFailed, post

NAME = "hooks.example"
CONTENT = b'{"type":"webhook.test"}'
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@asynccontextmanager
async def server(
    answer: bytes, pause_s: float = 0.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Its port, and what it was sent; it keeps the connection open behind ``answer``, which takes
    ``pause_s`` a byte."""
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        sent.append(head + await reader.readexactly(len(CONTENT)))
        try:
            for start in range(0, len(answer), 1 if pause_s else len(answer)):
                writer.write(answer[start : start + 1] if pause_s else answer)
                await writer.drain()
                await asyncio.sleep(pause_s)
            await reader.read()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1], sent


def certificate(folder: Path, name: str) -> Path:
    """One that ``name`` signed for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "pair.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.parametrize("shown", [NAME, "another.example"])
async def test_a_certificate_is_checked_against_the_name_and_not_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    asked: list[str | None] = []
    pair = certificate(tmp_path, shown)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)
    context.sni_callback = lambda _, name, __: asked.append(name)
    monkeypatch.setattr(
        http_client, "_ssl_context", lambda: ssl.create_default_context(cafile=str(pair))
    )

    def look_up(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with server(NO_CONTENT, tls=context) as (port, sent):
        url = f"https://{NAME}:{port}/hook"
        if shown == NAME:
            assert await post(url, CONTENT, {}, 5, private=True) == 204
            assert f"Host: {NAME}:{port}\r\n".encode() in sent[0]
        else:
            with pytest.raises(RequestFailed, match="could not be reached"):
                await post(url, CONTENT, {}, 5, private=True)
            assert sent == []
    assert asked == [NAME]


async def test_what_is_given_is_what_is_sent() -> None:
    async with server(NO_CONTENT) as (port, sent):
        url = f"http://127.0.0.1:{port}/hook?a=1#b"
        assert await post(url, CONTENT, {"webhook-id": "msg_1"}, 5, private=True) == 204
    head, _, body = sent[0].partition(b"\r\n\r\n")
    assert body == CONTENT and head.startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert b"webhook-id: msg_1" in head
    assert f"Host: 127.0.0.1:{port}\r\n".encode() in head


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
async def test_nothing_is_sent_to_what_is_not_public(host: str) -> None:
    async with server(NO_CONTENT) as (port, sent):
        with pytest.raises(RequestFailed, match=r"public|no such host"):
            await post(f"http://{host}:{port}/", CONTENT, {}, 5)
    assert sent == []


async def test_a_redirect_is_told_and_not_followed() -> None:
    async with server(NO_CONTENT) as (inner, sent):
        moved = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:%d/\r\n\r\n" % inner
        async with server(moved) as (outer, _):
            assert await post(f"http://127.0.0.1:{outer}/", CONTENT, {}, 5, private=True) == 307
    assert sent == []


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nand so on"
    async with server(endless) as (port, _):
        assert await post(f"http://127.0.0.1:{port}/", CONTENT, {}, 5, private=True) == 200


async def test_a_head_that_drips_is_given_up() -> None:
    async with server(NO_CONTENT, pause_s=0.2) as (port, _):
        with pytest.raises(RequestFailed, match=r"longer than 0\.5 seconds"):
            await post(f"http://127.0.0.1:{port}/", CONTENT, {}, 0.5, private=True)


@pytest.mark.parametrize("url", ["http://[::1/", "http://a b/", "http://a/\x00", "http://\u2100/"])
async def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(RequestFailed):
        await post(url, CONTENT, {}, 5, private=True)


async def test_name_servers_that_never_answer_leave_other_threads_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loop has a handful of threads for all that is slow, object stores among it."""
    answered = threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        answered.wait(300)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", never)
    lookups = [asyncio.create_task(post("http://slow.example/", CONTENT, {}, 3)) for _ in range(40)]
    try:
        await asyncio.sleep(0.1)
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(lambda: "at once") == "at once"
    finally:
        answered.set()
        await asyncio.gather(*lookups, return_exceptions=True)
