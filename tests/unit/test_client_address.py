"""The client's network, by its address and by what a trusted proxy says of it."""

from typing import Any

import pytest
from pydantic import ValidationError
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from serve_app.http.client_address import client_network, trusted_hosts
from serve_app.settings import LimitSettings


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("::ffff:203.0.113.9", "203.0.113.9/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/api.socket", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_of_ipv4_counts_alone_and_one_of_ipv6_with_its_64(
    host: str, network: str
) -> None:
    assert client_network({"type": "http", "client": (host, 1)}) == network


def test_without_an_address_the_network_is_unknown() -> None:
    assert client_network({"type": "http", "client": None}) == "unknown"


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9/32"),
        ("::1", "2001:db8::1", "2001:db8::/64"),
        ("::ffff:127.0.0.1", "203.0.113.9:4711", "203.0.113.9/32"),
        ("10.1.2.3", "198.51.100.1, 203.0.113.9, 10.9.9.9", "203.0.113.9/32"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7/32"),
        ("11.1.2.3", "127.0.0.1", "11.1.2.3/32"),
        ("127.0.0.1", "nonsense", "unknown"),
    ],
)
async def test_only_a_trusted_proxy_is_believed_about_its_client(
    peer: str, forwarded: str, network: str
) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(client_network(scope))

    proxies = LimitSettings(TRUSTED_PROXIES="10.0.0.0/8, 2001:db8:ffff::/48").trusted_proxies
    headers = [(b"x-forwarded-for", forwarded.encode())]
    scope: Any = {"type": "http", "client": (peer, 1), "headers": headers}
    proxied: Any = ProxyHeadersMiddleware(app, trusted_hosts(proxies))
    await proxied(scope, None, None)
    assert seen == [network]


@pytest.mark.parametrize("value", ["everybody", "*", "10.0.0.1/8"])
def test_trusted_proxies_are_networks(value: str) -> None:
    with pytest.raises(ValidationError):
        LimitSettings(TRUSTED_PROXIES=value)
