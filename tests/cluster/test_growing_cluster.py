"""Ray's own autoscaler: the policy has it start GPU nodes for a queue, and end them afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.support.application import Application, metadata, progress, reclaim, submit, wait
from tests.support.rays import Rays
from tests.support.waiting import HANG_S, eventually

pytestmark = pytest.mark.timeout(1800)

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


def node_of(row: Mapping[str, Any]) -> str:
    """The id of the node that ran the job of this row; empty before it has one."""
    return (row["replica"] or "").rpartition("@")[2]


def rows_at_work(
    application: Application, ada: httpx.Client, **given: Any
) -> Iterator[list[dict[str, Any]]]:
    """The rows of jobs like this, looked at again and again.

    However long a node takes, more work than the other one does is there until the caller has seen
    what it waits for. A row comes for the last time once its job has succeeded.
    """
    job_ids: list[str] = []
    deadline = time.monotonic() + SECOND_S
    while time.monotonic() < deadline:
        rows = [application.row(job_id) for job_id in job_ids]
        yield rows
        job_ids = [row["id"] for row in rows if row["status"] != "succeeded"]
        while len(job_ids) < 4:
            job_ids.append(submit(ada, "scribe", text="more", **given))
        time.sleep(0.5)
    raise AssertionError(f"not seen within {SECOND_S:.0f} s")


def test_a_job_starts_a_reserved_node_and_a_long_queue_a_spot_node_too(
    application: Application, ada: httpx.Client
) -> None:
    assert gpu_nodes() == {}
    job = wait(ada, submit(ada, "scribe", text="first"), seconds=SECOND_S)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert list(gpu_nodes().values()) == [RESERVED]
    groups: dict[str, str] = {}  # of all nodes that there were: an idle one goes, another one comes
    used: set[str] = set()
    job_ids: set[str] = set()
    for rows in rows_at_work(application, ada, pages=2, page_s=1.0):
        groups |= gpu_nodes()
        used |= {groups[node] for row in rows if (node := node_of(row)) in groups}
        job_ids |= {row["id"] for row in rows}
        if used == {RESERVED, SPOT}:
            break
    ended = [wait(ada, job_id) for job_id in job_ids]
    assert {(job["status"], job["attempt"]) for job in ended} == {("succeeded", 1)}


def test_a_spot_node_that_is_taken_away_amid_a_job_loses_nothing(
    application: Application, ada: httpx.Client
) -> None:
    spot = job_on_a_spot_node(application, ada)
    eventually(lambda: progress(ada, spot) > 0.05)
    reclaim(node_of(application.row(spot)), within=12)
    ended = wait(ada, spot)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    assert application.row(spot)["losses"] == 0
    assert metadata(ada, spot)["notes"]["kept"]


def job_on_a_spot_node(application: Application, ada: httpx.Client) -> str:
    """A job that has just begun on a spot node, and nothing else to do."""
    young: list[str] = []
    # Longer than a busy machine needs to give notice.
    for rows in rows_at_work(application, ada, pages=20, page_s=2.0, keep=True):
        nodes = gpu_nodes()
        running = [row for row in rows if row["status"] == "running" and row["progress"] < 0.2]
        young = [row["id"] for row in running if nodes.get(node_of(row)) == SPOT]
        if young:
            break
    for job_id in {row["id"] for row in rows if row["status"] != "succeeded"} - {young[0]}:
        ada.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    return young[0]


def test_without_work_every_gpu_node_is_given_back(application: Application) -> None:
    eventually(lambda: not gpu_nodes(), SECOND_S)
