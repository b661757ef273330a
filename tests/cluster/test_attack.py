"""``python -m tests.attack`` in short, against the whole service: what a stranger can do to it.

Nothing is timed here: the attackers share the cores with the service and with other tests.
"""

import asyncio
import math

import pytest

from scripts.dev.demo_accounts import ensure_demo_user
from tests.attack.__main__ import attack, parse
from tests.attack.target import Target
from tests.support.application import Application
from tests.support.rays import Rays

pytestmark = pytest.mark.timeout(900)

FLOODS = ["idle_connections", "slow_bodies", "json_lists", "multipart", "streams", "logins"]


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared)
    started.redeploy()
    return started


def test_a_stranger_finds_no_hole(application: Application) -> None:
    keys = ensure_demo_user(application.environment["DATABASE_URL"])
    target = Target(application.base_url, *keys)
    options = ["--seconds", "3", "--most-ms", str(math.inf), "--only", *FLOODS]
    verdicts = asyncio.run(attack(target, parse(options)))
    assert len(verdicts) > len(FLOODS)
    assert "memory of the ingress" in {verdict.attack for verdict in verdicts}
    assert [verdict for verdict in verdicts if not verdict.held] == []
