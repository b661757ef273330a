"""Ray's own autoscaler: the policy has it start GPU nodes for a queue, and end them afterwards."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.support.application import Application, reclaim, submit, wait
from tests.support.rays import Rays
from tests.support.waiting import HANG_S, eventually

pytestmark = pytest.mark.timeout(900)

RESERVED, SPOT = "gpu_reserved", "gpu_spot"
SECOND_S = 3 * HANG_S  # for a node and its manager to start, on a machine that does other work too


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    """A head without GPUs, and up to two nodes with one each."""
    started = rays.get(shared, grows_to={RESERVED: 1, SPOT: 1})
    # Each card has room for one replica beside its manager; a second node is soon worth it.
    started.redeploy(
        generators=["tests.support.scribe"],
        gpu=True,
        shares={"scribe": 0.3},
        replica_cpus=0.3,
        min_managers=0,
        max_managers=2,
        min_replicas=0,
        max_replicas=2,
        max_gpus=2,
        rules={"drain_s": 0.5, "idle_s": 4.0, "settle_s": 2.0, "node_s": 0.5},
        service_resources={"node:__internal_head__": 0.001},
    )
    return started


def gpu_nodes() -> dict[str, str]:
    """The nodes with a GPU that are alive: their groups by their ids."""
    import ray

    return {
        node["NodeID"]: RESERVED if RESERVED in node["Resources"] else SPOT
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("GPU")
    }


def ran_on(application: Application, job_id: str) -> str:
    """The id of its node; empty before it has one."""
    return (application.row(job_id)["replica"] or "").rpartition("@")[2]


def test_a_job_starts_a_reserved_node_and_a_long_queue_a_spot_node_too(
    application: Application, ada: httpx.Client
) -> None:
    assert gpu_nodes() == {}
    job = wait(ada, submit(ada, "scribe", text="first"))
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert list(gpu_nodes().values()) == [RESERVED]
    job_ids = [submit(ada, "scribe", text=f"{n}", pages=2, page_s=1.0) for n in range(8)]
    both = eventually(lambda: found if len(found := gpu_nodes()) == 2 else None, SECOND_S)
    assert sorted(both.values()) == [RESERVED, SPOT]
    deadline = time.monotonic() + SECOND_S
    while {ran_on(application, job_id) for job_id in job_ids} - {""} != set(both):
        assert time.monotonic() < deadline, "one of the nodes was not used"
        job_ids.append(submit(ada, "scribe", text="more", pages=2, page_s=1.0))
        time.sleep(1.0)
    ended = [wait(ada, job_id) for job_id in job_ids]
    assert {(job["status"], job["attempt"]) for job in ended} == {("succeeded", 1)}


def test_a_spot_node_that_is_taken_away_amid_a_job_loses_nothing(
    application: Application, ada: httpx.Client
) -> None:
    spot = job_on_a_spot_node(application, ada)
    eventually(lambda: ada.get(f"/v1/jobs/{spot}").json()["progress"] > 0.05)
    reclaim(ran_on(application, spot), within=12)
    ended = wait(ada, spot)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    assert application.row(spot)["losses"] == 0
    kept = ada.get(f"/v1/jobs/{spot}/metadata").json()["metadata"]["notes"]["kept"]
    assert kept


def job_on_a_spot_node(application: Application, ada: httpx.Client) -> str:
    """A job that has just begun on a spot node, and nothing else to do.

    However long the node takes, more work than the other one does is there until it has come.
    """
    # Longer than a busy machine needs to give notice.
    long = {"pages": 20, "page_s": 2.0, "keep": True}
    job_ids: list[str] = []
    deadline = time.monotonic() + SECOND_S
    while True:
        nodes = gpu_nodes()
        waiting = [one for one in job_ids if application.row(one)["status"] != "succeeded"]
        spot = [one for one in waiting if nodes.get(ran_on(application, one)) == SPOT]
        young = [one for one in spot if ada.get(f"/v1/jobs/{one}").json()["progress"] < 0.2]
        if young:
            break
        assert time.monotonic() < deadline, "no job came to a spot node"
        while len(waiting) < 4:
            waiting.append(submit(ada, "scribe", text=f"{len(job_ids)}", **long))
            job_ids.append(waiting[-1])
        time.sleep(0.5)
    for one in set(waiting) - {young[0]}:
        ada.post(f"/v1/jobs/{one}/cancel").raise_for_status()
    return young[0]


def test_without_work_every_gpu_node_is_given_back(application: Application) -> None:
    eventually(lambda: not gpu_nodes(), SECOND_S)
