"""Whose job comes next, on the whole application: one replica, and more than it can do."""

from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.application import Application, submit, wait
from tests.support.rays import Rays

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared)
    started.redeploy()
    return started


def started_at(job: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(job["started_at"])


def test_a_user_at_the_limit_leaves_the_replicas_to_others_and_goes_on_after(
    application: Application, ada: httpx.Client, bob: httpx.Client
) -> None:
    """Over two generators, with a limit of one: never two at a time, and all of them in the end."""
    plain = application.environment["DATABASE_URL"].replace("+psycopg", "")
    user_id = ada.get("/v1/me").json()["id"]
    with psycopg.connect(plain) as connection:
        connection.execute("UPDATE users SET max_running_jobs = 1 WHERE id = %s", [user_id])
    mine = []
    for number in range(3):
        mine.append(submit(ada, "image", prompt="a red circle", seed=number))
        mine.append(submit(ada, "scribe", text=f"{number}", pages=2, page_s=0.25))
    other = wait(bob, submit(bob, "scribe", text="other"))
    ended = [wait(ada, job_id) for job_id in mine]
    assert {job["status"] for job in [*ended, other]} == {"succeeded"}
    spans = sorted((started_at(job), datetime.fromisoformat(job["finished_at"])) for job in ended)
    for (_, before), (begun, _) in pairwise(spans):
        assert begun >= before
    assert ada.get("/v1/limits").json()["running"] == {"now": 0, "max": 1}
