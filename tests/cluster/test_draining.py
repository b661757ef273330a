"""Deploying, shutting down and starting again while jobs run: each of them ends as it should."""

from functools import partial
from pathlib import Path

import httpx
import pytest
from ray import serve

from tests.support.application import (
    HANG_S,
    Application,
    listening_ports,
    metadata,
    once_drained,
    pids,
    progress,
    replica_pids,
    submit,
    wait,
)
from tests.support.rays import Rays
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(1800)


def deployments(
    num_cpus: float = 0.3, replicas: int = 2, **more: object
) -> list[dict[str, object]]:
    """Two ingresses, and what the scribe has of its own: other CPUs have Serve replace its
    replicas, and no other deployment's."""
    bounds = {"min_replicas": replicas, "max_replicas": replicas}
    scribe = {"name": "scribe", "ray_actor_options": {"num_cpus": num_cpus}}
    return [
        {"name": "ingress", "num_replicas": 2},
        {**scribe, "autoscaling_config": bounds, **more},
    ]


def hasty(num_cpus: float) -> list[dict[str, object]]:
    """One replica, which has eleven seconds to end."""
    return deployments(num_cpus, replicas=1, graceful_shutdown_timeout_s=11.0)


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared)
    started.redeploy(deployments=deployments())
    return started


def test_each_ingress_replica_gives_the_same_answer_to_a_cancel(ada: httpx.Client) -> None:
    urls = eventually(lambda: found if len(found := ingresses()) == 2 else None, HANG_S)
    doors = [httpx.Client(base_url=url, headers=ada.headers, timeout=120) for url in urls]
    job_id = submit(ada, "scribe", text="long", pages=20, page_s=1.0)
    wait(ada, job_id, "running")
    asked = [door.post(f"/v1/jobs/{job_id}/cancel") for door in doors]
    assert [(answer.status_code, answer.json()["id"]) for answer in asked] == [(200, job_id)] * 2
    ended = wait(ada, job_id)
    assert ended["status"] == "canceled"
    again = [door.post(f"/v1/jobs/{job_id}/cancel").json() for door in doors]
    assert again == [ended, ended]


def ingresses() -> list[str]:
    """Where each replica of the ingress answers by itself, without HAProxy before it."""
    ports = [port for pid in replica_pids("ingress") for port in listening_ports(pid)]
    return [url for port in ports if is_answered(url := f"http://127.0.0.1:{port}")]


def is_answered(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_two_redeploys_amid_running_jobs_fail_none(
    application: Application, ada: httpx.Client, go: Path
) -> None:
    before = set(replica_pids("scribe"))
    job_ids = [submit(ada, "scribe", text="first", after=str(go))]
    wait(ada, job_ids[0], "running")
    job_ids += [submit(ada, "scribe", text=f"{n}", pages=3, page_s=1.0) for n in range(3)]
    once_drained("scribe", partial(application.redeploy, deployments=deployments(0.25)), go)
    job_ids += [submit(ada, "scribe", text=f"{n}", pages=3, page_s=1.0) for n in range(4)]
    application.redeploy(deployments=deployments())
    ended = [wait(ada, job_id) for job_id in job_ids]
    assert {(job["status"], job["attempt"]) for job in ended} == {("succeeded", 1)}
    assert before.isdisjoint(replica_pids("scribe"))


def test_jobs_live_through_a_shutdown_and_a_start(
    application: Application, ada: httpx.Client, go: Path
) -> None:
    """Two replicas finish what they have; the third job waits while nothing runs."""
    application.redeploy(deployments=deployments())
    job_ids = [submit(ada, "scribe", text=f"{n}", after=str(go)) for n in range(2)]
    for job_id in job_ids:
        wait(ada, job_id, "running")
    job_ids.append(submit(ada, "scribe", text="2"))
    once_drained("scribe", serve.shutdown, go, replicas=2)
    until_gone("scribe")
    found = [(row["status"], row["attempt"]) for row in map(application.row, job_ids)]
    assert found == [("succeeded", 1), ("succeeded", 1), ("queued", 0)]
    # Serve's client does not wait for it longer than half a minute.
    eventually(lambda: not pids("ray::ServeController"), HANG_S)
    application.redeploy(deployments=hasty(0.3))
    ended = [wait(ada, job_id) for job_id in job_ids]
    assert {(job["status"], job["attempt"]) for job in ended} == {("succeeded", 1)}


def until_gone(deployment: str) -> None:
    """Its processes end a moment after Serve has let go of them."""
    eventually(lambda: not replica_pids(deployment), HANG_S)


def test_a_job_longer_than_the_grace_goes_on_in_the_next_replica(
    application: Application, ada: httpx.Client, go: Path
) -> None:
    application.redeploy(deployments=hasty(0.3))
    job_id = submit(ada, "scribe", text="long", pages=4, page_s=0.5, keep=True, after=str(go))
    eventually(lambda: progress(ada, job_id) > 1.5 / 4, HANG_S)
    application.redeploy(deployments=hasty(0.25))
    eventually(lambda: application.row(job_id)["attempt"] == 2, HANG_S)
    go.touch()
    job = wait(ada, job_id)
    row = application.row(job_id)
    assert (job["status"], job["attempt"], row["losses"]) == ("succeeded", 2, 0), (
        "not lost: its lease was not waited for"
    )
    assert len(metadata(ada, job_id)["notes"]["kept"]) >= 2
    assert job["cost"]["charged"] == job["cost"]["estimated"]
