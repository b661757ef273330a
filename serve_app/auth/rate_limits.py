"""Take requests out of their buckets, and refuse those for which nothing is left."""

from __future__ import annotations

from fastapi import Request

from serve_app.auth import refresh
from serve_app.auth.pseudonyms import pseudonym
from serve_app.http.client_address import client_network
from serve_app.http.errors import RateLimited
from serve_app.http.rate_limit import Bucket
from serve_app.http.rates import RateClass
from serve_app.http.request_context import request_context
from serve_app.resources import Clients

# In a scope: a call that this process makes for a request that was counted.
IN_PROCESS = "atelier.in_process"


async def take(clients: Clients, kind: RateClass, *buckets: Bucket) -> dict[str, str]:
    """Take one request out of each bucket, and return the headers that tell of it.

    Raises:
        RateLimited: one has none left; its headers tell the same.
    """
    allowance = await clients.limiter.take(kind, *buckets)
    if allowance.exceeded:
        clients.metrics.rate_limited.inc(rate_class=kind)
        raise RateLimited(allowance.retry_after_s, allowance.headers())
    return allowance.headers()


async def count_address(request: Request, clients: Clients, kind: RateClass) -> None:
    """Count a request that needs no login against the rate of the client's network.

    Raises:
        RateLimited: too many came from it.
    """
    if request.scope.get(IN_PROCESS):
        return
    # Redis keeps no address, as with failed attempts.
    name = pseudonym(clients.settings.auth, "rate", client_network(request.scope))
    bucket = Bucket(kind, name, clients.rates.of_address()[kind])
    headers = await take(clients, kind, bucket)
    request_context(request).response_headers.update(headers)


async def count_refresh(request: Request, clients: Clients, token: str) -> None:
    """Count a refresh also against the rate of the user whose token it is; it is not used here.

    A token that is refused takes nothing from the user it was of.

    Raises:
        RateLimited: the user's log-ins were refreshed too often; the token stays good.
    """
    async with clients.sessions() as session:
        user = await refresh.owner(session, token)
    if user is None:
        return
    bucket = Bucket("refresh-user", user.id, clients.rates.of_user(user.plan)["refresh"])
    told = request_context(request).response_headers
    try:
        headers = await take(clients, "refresh", bucket)
    except RateLimited as refused:
        told.update(refused.headers)  # those of the address would hide what refused
        raise
    for name, of_user in headers.items():
        told[name] = f"{told[name]}, {of_user}" if name in told else of_user
