"""Whose job comes next, on the whole application: one replica, and more than it can do."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.application import Application, submit, wait
from tests.support.rays import Rays

pytestmark = pytest.mark.timeout(900)

MANY = 1000


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared)
    started.redeploy(generators=["tests.support.toys.ann", "tests.support.toys.ben"])
    return started


def urgent(client: httpx.Client, priority: str, **given: Any) -> str:
    body = {"generator": "ann", "input": given, "priority": priority}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def started_at(job: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(job["started_at"])


def all_of(client: httpx.Client, status: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/v1/jobs", params={"status": status, "limit": 100, **after}).json()
        found += page["data"]
        if not page["has_more"]:
            return found
        after = {"after": page["next"]}


def clear(client: httpx.Client) -> None:
    """Cancel what is left, so that the next test finds the replica idle."""
    left = [job["id"] for job in (*all_of(client, "queued"), *all_of(client, "running"))]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job_id: client.post(f"/v1/jobs/{job_id}/cancel"), left))


def test_a_thousand_jobs_of_one_user_do_not_hold_up_another(
    ada: httpx.Client, bob: httpx.Client
) -> None:
    with ThreadPoolExecutor(8) as pool:
        mine = set(pool.map(lambda _: submit(ada, "ann", seconds=2.0), range(MANY)))
    assert len(all_of(ada, "queued")) > MANY / 2, "it submits faster than the replica works"
    own = wait(bob, submit(bob, "ann", seconds=0.5))
    high = wait(ada, urgent(ada, "high", seconds=0.5))
    done = [job for job in all_of(ada, "succeeded") if job["id"] in mine]
    clear(ada)
    assert own["status"] == high["status"] == "succeeded"
    assert len(done) > 3
    # At most the one that the replica was just taking.
    assert overtook(done, own) <= 1
    assert overtook(done, high) <= 1, "high comes before the normal ones that wait"


def overtook(others: list[dict[str, Any]], job: dict[str, Any]) -> int:
    """How many of ``others`` were started while ``job`` waited."""
    since = datetime.fromisoformat(job["created_at"])
    return sum(since < started_at(other) < started_at(job) for other in others)


def test_a_user_at_the_limit_leaves_the_replicas_to_others_and_goes_on_after(
    application: Application, ada: httpx.Client, bob: httpx.Client
) -> None:
    """Over two generators, with a limit of one: never two at a time, and all of them in the end."""
    plain = application.environment["DATABASE_URL"].replace("+psycopg", "")
    user_id = ada.get("/v1/me").json()["id"]
    with psycopg.connect(plain) as connection:
        connection.execute("UPDATE users SET max_running_jobs = 1 WHERE id = %s", [user_id])
    names = ("ann", "ben") * 3
    mine = [submit(ada, name, seconds=0.5) for name in names]
    other = wait(bob, submit(bob, "ben", seconds=0.2))
    ended = [wait(ada, job_id) for job_id in mine]
    assert {job["status"] for job in [*ended, other]} == {"succeeded"}
    spans = sorted((started_at(job), datetime.fromisoformat(job["finished_at"])) for job in ended)
    for (_, before), (begun, _) in pairwise(spans):
        assert begun >= before
    assert ada.get("/v1/limits").json()["running"] == {"now": 0, "max": 1}
