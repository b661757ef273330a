"""Send requests to addresses that users give, but never into this service's own network (SSRF).

The host name is resolved here, each of its addresses must be public, and the connection goes to the
address that was checked: a name that resolves differently the second time gains nothing. Every
redirect is checked in the same way.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

MAX_REDIRECTS = 3
TOTAL_TIMEOUT_S = 60.0
IO_TIMEOUT_S = 10.0
_REDIRECTS = (301, 302, 303, 307, 308)
# Threads of their own: a user's name server that never answers would block the shared ones.
_DNS_THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="lookup")


class RequestFailed(Exception):
    """The address did not answer, or is not allowed; the message tells its owner why."""


class ResponseTooLarge(RequestFailed):
    """The response is larger than allowed."""


async def download(
    url: str,
    path: Path,
    max_bytes: int,
    *,
    private: bool = False,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Download ``url`` into ``path``. ``private`` allows addresses that are not public.

    ``check`` is called between the chunks, and may raise to end the download.

    Raises:
        RequestFailed: the address did not answer or is not allowed.
        ResponseTooLarge: the file has more than ``max_bytes``.
    """
    async with _deadline(TOTAL_TIMEOUT_S):
        await _download_following_redirects(url, path, max_bytes, private, check)


async def post(
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    within_s: float,
    *,
    private: bool = False,
) -> int:
    """Send ``content`` to ``url``; returns the status of the response.

    No redirect is followed, and the body of the response is not read. ``private`` allows addresses
    that are not public.

    Raises:
        RequestFailed: the address did not answer or is not allowed.
    """
    async with (
        _deadline(within_s),
        _send_request("POST", url, private, content=content, headers=headers) as response,
    ):
        return response.status_code


def parse_url(url: str) -> SplitResult:
    """Split an address that is allowed: http or https, no user name, a valid port.

    Raises:
        RequestFailed: it is not allowed.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise RequestFailed("that is no address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestFailed("only http and https addresses are allowed")
    if parts.username is not None:
        raise RequestFailed("an address with a user name is not allowed")
    try:
        _ = parts.port
    except ValueError as error:
        raise RequestFailed("the address has no such port") from error
    return parts


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise RequestFailed(f"it took longer than {seconds:g} seconds") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise RequestFailed(f"it could not be reached ({type(error).__name__})") from error


async def _download_following_redirects(
    url: str, path: Path, max_bytes: int, private: bool, check: Callable[[], None]
) -> None:
    for _ in range(MAX_REDIRECTS + 1):
        check()
        async with _send_request("GET", url, private) as response:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                url = urljoin(url, response.headers["location"])
                continue
            if response.status_code != 200:
                raise RequestFailed(f"the server answered {response.status_code}")
            with path.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    check()
                    file.write(chunk)
                    if file.tell() > max_bytes:
                        raise ResponseTooLarge(f"it is larger than {max_bytes // 1_000_000} MB")
            return
    raise RequestFailed(f"it led to more than {MAX_REDIRECTS} other addresses")


@asynccontextmanager
async def _send_request(
    method: str,
    url: str,
    private: bool,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[httpx.Response]:
    """Send one request to a checked address; yields the response before its body is read."""
    parts = parse_url(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    number = await _resolve_public_address(host, port, private)
    numbered = f"[{number}]" if ":" in number else number
    target = parts._replace(netloc=f"{numbered}:{port}", fragment="").geturl()
    name = host if ":" not in host else f"[{host}]"
    said = {"Host": name if parts.port is None else f"{name}:{port}", "User-Agent": "Atelier/1"}
    # The certificate is checked against the name, the connection goes to the number.
    extensions = {"sni_hostname": host}
    async with (
        httpx.AsyncClient(
            timeout=IO_TIMEOUT_S, follow_redirects=False, trust_env=False, verify=_ssl_context()
        ) as client,
        client.stream(
            method, target, content=content, headers={**(headers or {}), **said},
            extensions=extensions,
        ) as response,
    ):  # fmt: skip
        yield response


@cache
def _ssl_context() -> ssl.SSLContext:
    """Cached: reading the list of authorities takes longer than most requests."""
    return httpx.create_ssl_context(trust_env=False)


async def _resolve_public_address(host: str, port: int, private: bool) -> str:
    """Resolve ``host`` to one of its addresses.

    Raises:
        RequestFailed: it has none, or one of them is not public.
    """
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        entries = await asyncio.get_running_loop().run_in_executor(_DNS_THREADS, look_up)
    except OSError as error:
        raise RequestFailed("there is no such host") from error
    numbers = [str(entry[4][0]).partition("%")[0] for entry in entries]
    if not private and not all(is_public(number) for number in numbers):
        raise RequestFailed("only public addresses are allowed")
    return numbers[0]


def is_public(number: str) -> bool:
    """Whether the IP address ``number`` is reachable from the public internet.

    An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) is public if that one is.
    """
    address = ipaddress.ip_address(number)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast
