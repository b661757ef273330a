"""Fetching from addresses that users name."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deployments.messaging import http_client
from deployments.messaging.http_client import RequestFailed, ResponseTooLarge, download, is_public

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def server(answer: bytes, pause_s: float = 0.0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers every request with ``answer``, a byte each ``pause_s`` if that is given."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            for start in range(0, len(answer), 1 if pause_s else len(answer)):
                writer.write(answer[start : start + 1] if pause_s else answer)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/a.png", asked


@pytest.mark.parametrize(
    "number",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0",
     "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1",
     "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"],
)  # fmt: skip
def test_only_what_anybody_could_reach_is_public(number: str) -> None:
    assert not is_public(number)


@pytest.mark.parametrize("number", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_the_rest_of_the_internet_is(number: str) -> None:
    assert is_public(number)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/a", "http://localhost/a", "http://[::1]/a", "http://2130706433/a",
     "http://0x7f.1/a", "http://0/a", "http://169.254.169.254/latest/meta-data"],
)  # fmt: skip
async def test_nothing_of_ours_is_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(RequestFailed, match=r"public|no such host"):
        await download(url, tmp_path / "a", 1000)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/a", "http:///a", "http://ada:secret@example.com/", "http://a:99999/"]
)
async def test_only_plain_addresses_of_the_web_are_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(RequestFailed):
        await download(url, tmp_path / "a", 1000)


async def test_a_name_is_asked_under_the_number_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when looked at and ours when connected to gains nothing."""
    answers = iter(["93.184.215.14", "127.0.0.1"])

    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **options: Any) -> list[Any]:
        if host != "twofaced.example":  # asked by a thread of another test
            return real(host, *more, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 80))]

    connected: list[str] = []

    async def connect(_: object, host: str, *__: object, **___: object) -> None:
        connected.append(host)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", connect)
    with pytest.raises((RequestFailed, OSError)):
        await download("http://twofaced.example/a.png", tmp_path / "a", 1000)
    assert connected == ["93.184.215.14"]


async def test_a_redirect_is_checked_like_the_first_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(OK % 5 + b"inner") as (inner, asked):
        moved = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % inner.encode()
        async with server(moved) as (outer, _):
            port = int(outer.rpartition(":")[2].partition("/")[0])
            await download(outer, tmp_path / "a", 1000, private=True)
            assert (tmp_path / "a").read_bytes() == b"inner"
            asked.clear()
            looked_at: list[int] = []

            async def address(host: str, at: int, private: bool) -> str:
                looked_at.append(at)
                if at != port:
                    raise RequestFailed("only public addresses are allowed")
                return host

            monkeypatch.setattr(http_client, "_resolve_public_address", address)
            with pytest.raises(RequestFailed, match="public"):
                await download(outer, tmp_path / "b", 1000)
            assert len(looked_at) == 2 and asked == []


async def test_a_circle_of_redirects_ends(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /a.png\r\nContent-Length: 0\r\n\r\n"
    async with server(moved) as (url, asked):
        with pytest.raises(RequestFailed, match="other addresses"):
            await download(url, tmp_path / "a", 1000, private=True)
    assert len(asked) == http_client.MAX_REDIRECTS + 1


async def test_more_than_is_taken_is_not_read_to_its_end(tmp_path: Path) -> None:
    async with server(OK % 10**9 + bytes(200_000)) as (url, _):
        with pytest.raises(ResponseTooLarge):
            await download(url, tmp_path / "a", 100_000, private=True)


async def test_a_server_that_drips_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "TOTAL_TIMEOUT_S", 0.4)
    async with server(OK % 1000 + bytes(1000), pause_s=0.05) as (url, _):
        with pytest.raises(RequestFailed, match="longer than"):
            await download(url, tmp_path / "a", 10_000, private=True)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", b"nonsense"])
async def test_what_is_no_good_answer_is_no_file(tmp_path: Path, answer: bytes) -> None:
    async with server(answer) as (url, _):
        with pytest.raises(RequestFailed):
            await download(url, tmp_path / "a", 1000, private=True)


async def test_the_job_that_is_cancelled_gives_up(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def check() -> None:
        raise Stop

    async with server(OK % 3 + b"abc") as (url, asked):
        with pytest.raises(Stop):
            await download(url, tmp_path / "a", 1000, private=True, check=check)
    assert asked == []
