"""The client's network, by which requests without an account are counted.

uvicorn's ``ProxyHeadersMiddleware``, the outermost of ``serve_app.api``, makes ``scope["client"]``
right: behind a trusted proxy it is the last address of ``X-Forwarded-For`` that is not one itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

Network = IPv4Network | IPv6Network

# The second is how a socket that serves both IPv6 and IPv4 shows 127.0.0.0/8.
_LOOPBACK = ("127.0.0.0/8", "::ffff:127.0.0.0/104", "::1/128")
# A subscriber commonly holds a whole /64, and takes another address of it for each request.
_IPV6_PREFIX = 64
UNKNOWN = "unknown"


def trusted_hosts(proxies: Sequence[Network]) -> list[str]:
    """Return whose ``X-Forwarded-For`` is believed: this machine's, and that of ``proxies``."""
    return [*_LOOPBACK, *map(str, proxies)]


def client_network(scope: Scope) -> str:
    """Return the client's network: the address of IPv4 as a /32, the /64 of an address of IPv6.

    A client without an IP address (a Unix socket, a proxy that says nonsense) is ``unknown``.
    """
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((address, _IPV6_PREFIX), strict=False))
        address = address.ipv4_mapped
    return f"{address}/32"


def _network(request: Request) -> str:
    return client_network(request.scope)


ClientNetworkDep = Annotated[str, Depends(_network)]
