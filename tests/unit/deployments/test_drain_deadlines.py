"""The deadlines of a drain, on the event loop that Serve runs replicas on."""

import asyncio

import pytest
import uvloop

from db.settings import StoreSettings
from deployments.worker.host import GeneratorHost
from tests.support.scribe import SPEC

NOBODY_LISTENS = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "S3_ENDPOINT": "http://127.0.0.1:9",
    "S3_ACCESS_KEY": "none",
    "S3_SECRET_KEY": "none",
}


@pytest.mark.parametrize(("first", "second"), [(0.0, 5.0), (60.0, 0.0)])
def test_a_deadline_may_follow_another_one_that_has_passed_or_has_not(
    first: float, second: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node's drain notice is followed by the end of the replica."""
    for name, value in NOBODY_LISTENS.items():
        monkeypatch.setenv(name, value)

    async def drain() -> None:
        host = GeneratorHost(SPEC, StoreSettings())
        host.start_drain(first)
        await host.drain(second)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(drain())
