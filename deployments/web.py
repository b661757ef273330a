"""Fetching what a user's address names, without being led where only we can go.

A name is resolved here, every address it has must be a public one, and the connection goes to the
address that was checked: a name that answers differently the second time gains nothing. The same
holds for every redirect.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

MOST_REDIRECTS = 3
WITHIN_S = 60.0
STEP_S = 10.0
_REDIRECTS = (301, 302, 303, 307, 308)


class NotFetched(Exception):
    """The address could not be fetched, or may not be; the message says why, for its owner."""


class TooLong(NotFetched):
    """There is more behind the address than is taken."""


async def download(
    url: str,
    path: Path,
    most_bytes: int,
    *,
    private: bool = False,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Fetch ``url`` into ``path``. ``private`` allows addresses that are not public; ``check`` is
    called between pieces and may raise to give up.

    Raises:
        NotFetched: see there.
    """
    try:
        async with asyncio.timeout(WITHIN_S):
            await _follow(url, path, most_bytes, private, check)
    except TimeoutError as error:
        raise NotFetched(f"it took longer than {WITHIN_S:g} seconds") from error
    except (httpx.HTTPError, OSError, UnicodeError) as error:
        raise NotFetched(f"it could not be reached ({type(error).__name__})") from error


async def _follow(
    url: str, path: Path, most_bytes: int, private: bool, check: Callable[[], None]
) -> None:
    for _ in range(MOST_REDIRECTS + 1):
        check()
        async with _asked(url, private) as answer:
            if answer.status_code in _REDIRECTS and "location" in answer.headers:
                url = urljoin(url, answer.headers["location"])
                continue
            if answer.status_code != 200:
                raise NotFetched(f"the server answered {answer.status_code}")
            with path.open("wb") as file:
                async for piece in answer.aiter_bytes():
                    check()
                    file.write(piece)
                    if file.tell() > most_bytes:
                        raise TooLong(f"it is larger than {most_bytes // 1_000_000} MB")
            return
    raise NotFetched(f"it led to more than {MOST_REDIRECTS} other addresses")


@asynccontextmanager
async def _asked(url: str, private: bool) -> AsyncIterator[httpx.Response]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotFetched("only http and https addresses are fetched")
    if parts.username is not None:
        raise NotFetched("an address with a user name is not fetched")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise NotFetched("the address has no such port") from error
    number = await _public_address(parts.hostname, port, private)
    host = f"[{number}]" if ":" in number else number
    target = parts._replace(netloc=f"{host}:{port}", fragment="").geturl()
    name = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
    headers = {"Host": name if parts.port is None else f"{name}:{port}", "User-Agent": "Atelier/1"}
    # The certificate is checked against the name, the connection goes to the number.
    extensions = {"sni_hostname": parts.hostname}
    async with (
        httpx.AsyncClient(timeout=STEP_S, follow_redirects=False, trust_env=False) as client,
        client.stream("GET", target, headers=headers, extensions=extensions) as answer,
    ):
        yield answer


async def _public_address(host: str, port: int, private: bool) -> str:
    """An address of ``host``.

    Raises:
        NotFetched: it has none, or one of them is not public.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotFetched("there is no such host") from error
    numbers = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not private and not all(is_public(number) for number in numbers):
        raise NotFetched("only public addresses are fetched")
    return numbers[0]


def is_public(number: str) -> bool:
    """Whether anybody on the internet could connect to the IP address ``number``.

    An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) is as public as that one.
    """
    address = ipaddress.ip_address(number)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast
