"""An attacker tells a service that is busy from one that is broken."""

import httpx
import pytest

from tests.attack import target
from tests.attack.target import PatientTransport

BUSY = {"Retry-After": "5"}


async def status(*answers: httpx.Response) -> int:
    """What a client gets that is answered like this, one after the other."""
    left = iter(answers)
    transport = PatientTransport(httpx.MockTransport(lambda _: next(left)))
    async with httpx.AsyncClient(base_url="http://service", transport=transport) as client:
        return (await client.post("/v1/jobs", json={})).status_code


async def test_a_busy_service_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "AGAIN_S", 0)
    busy = httpx.Response(503, headers=BUSY)
    assert await status(busy, busy, httpx.Response(202)) == 202
    monkeypatch.setattr(target, "BUSY_S", -1)
    assert await status(busy, httpx.Response(202)) == 503


async def test_a_broken_service_is_not() -> None:
    for broken in (httpx.Response(503), httpx.Response(500, headers=BUSY)):
        assert await status(broken, httpx.Response(202)) == broken.status_code
