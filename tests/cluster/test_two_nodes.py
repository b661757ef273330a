"""Two Ray nodes on one machine: replicas on both, one of them drained, one of them killed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from ray import serve

from deployments.gpu_manager.manager_choice import REPORT_INTERVAL_S
from deployments.gpu_manager.messages import Result, Started
from deployments.gpu_manager.names import GPU_MANAGER
from deployments.ray_nodes import available_nodes
from models.diffusion.requests import DiffusionRequest
from models.inference.inference import NOBODY, Operation
from models.inference.operations import Draw, EstimateDepth
from scripts.dev import cluster
from tests.support.application import (
    HANG_S,
    Application,
    Node,
    further_node,
    metadata,
    progress,
    reclaim,
    submit,
    wait,
)
from tests.support.rays import Rays
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(1800)

SCRIBE = "tests.support.scribe"


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    """Each node has one GPU, with room for one replica beside its manager."""
    return rays.get(shared, num_gpus=1)


@pytest.fixture(scope="module")
def second(application: Application) -> Iterator[Node]:
    with further_node(num_gpus=1) as node:
        application.redeploy(
            generators=[SCRIBE],
            gpu=True,
            shares={"scribe": 0.3},
            replica_cpus=0.3,
            min_managers=2,
            max_managers=2,
            max_replicas=2,
            # Another replica comes with work for it, and stays.
            rules={"drain_s": 0.5, "idle_s": 600.0, "settle_s": 600.0},
        )
        with application.person() as client:
            keep_two_busy(application, client)
        yield node


def keep_two_busy(application: Application, client: httpx.Client) -> None:
    """Until the replicas of two nodes have work at the same time."""
    job_ids = [submit(client, "scribe", text=f"{n}", after="/never") for n in range(2)]
    for job_id in job_ids:
        wait(client, job_id, "running")
    assert {application.row(job_id)["status"] for job_id in job_ids} == {"running"}
    assert len({node_of(application, job_id) for job_id in job_ids}) == 2
    for job_id in job_ids:
        client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        wait(client, job_id)


def one_on_each(
    application: Application, ada: httpx.Client, node: Node, **given: Any
) -> tuple[str, str]:
    """Two jobs that run at the same time: the one elsewhere, and the one on ``node``."""
    job_ids = [submit(ada, "scribe", text=f"{n}", **given) for n in range(2)]
    for job_id in job_ids:
        wait(ada, job_id, "running")
    elsewhere, there = sorted(job_ids, key=lambda job_id: node_of(application, job_id) == node.id)
    assert node_of(application, there) == node.id != node_of(application, elsewhere)
    return elsewhere, there


def node_of(application: Application, job_id: str) -> str:
    return str(application.row(job_id)["replica"]).rpartition("@")[2]


def test_replicas_on_both_nodes_work_the_same(
    application: Application, second: Node, ada: httpx.Client, go: Path
) -> None:
    job_ids = one_on_each(application, ada, second, pages=3, after=str(go))
    go.touch()
    one, other = (wait(ada, job_id) for job_id in job_ids)
    for job in (one, other):
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
        assert [output["name"] for output in job["outputs"]] == [f"page-{n}.txt" for n in range(3)]
        text = httpx.get(job["outputs"][0]["url"], timeout=120).text
        assert text == f"{job['input']['text']} {job['seed']}"


def test_an_operation_goes_to_the_manager_that_has_its_model(second: Node) -> None:
    picture = Image.new("RGB", (64, 64), "red")
    first = manager_of(EstimateDepth(picture))
    time.sleep(3 * REPORT_INTERVAL_S)  # until it is known everywhere what that one loaded
    assert [manager_of(EstimateDepth(picture)) for _ in range(12)] == [first] * 12
    drawings = [Draw(DiffusionRequest("a red circle", seed)) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(manager_of, drawings))) == 2, "both have what draws from words"


def manager_of(operation: Operation[Any]) -> str:
    """The manager that ran it."""
    handle = serve.get_deployment_handle(GPU_MANAGER, cluster.application()["name"])
    started, *_, result = handle.options(stream=True).run.remote(operation, NOBODY)
    assert isinstance(started, Started)
    assert isinstance(result, Result)
    return started.manager


def test_a_job_on_a_drained_node_goes_on_elsewhere_at_once(
    application: Application, second: Node, ada: httpx.Client, go: Path
) -> None:
    elsewhere, there = one_on_each(application, ada, second, pages=4, keep=True, after=str(go))
    eventually(lambda: progress(ada, there) > 2.5 / 4, HANG_S)
    assert sum(each.gpus for each in available_nodes()) == 2
    reclaim(second.id, within=15)
    assert sum(each.gpus for each in available_nodes()) == 1, (
        "what is to go is no room for new ones"
    )
    until_given_back(application, there)
    go.touch()
    one, other = wait(ada, elsewhere), wait(ada, there)
    assert (one["status"], one["attempt"]) == ("succeeded", 1)
    assert (other["status"], other["attempt"]) == ("succeeded", 2)
    assert application.row(there)["losses"] == 0, "it was not its lease that was noticed"
    assert node_of(application, there) != second.id
    assert len(metadata(ada, there)["notes"]["kept"]) >= 2


def test_the_job_of_a_node_that_was_killed_comes_back(
    application: Application, second: Node, ada: httpx.Client, go: Path
) -> None:
    with further_node(num_gpus=1) as third:
        keep_two_busy(application, ada)
        elsewhere, there = one_on_each(application, ada, third, pages=2, keep=True, after=str(go))
        eventually(lambda: progress(ada, there) > 0, HANG_S)
        third.raylet.kill()
        until_given_back(application, there)
        go.touch()
        assert wait(ada, elsewhere)["status"] == "succeeded"
        job = wait(ada, there)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    row = application.row(there)
    assert (row["losses"], row["crashes"]) == (1, 0), "a machine's end is nobody's fault"


def until_given_back(application: Application, job_id: str) -> None:
    """Until its first attempt is over. The next one may have no replica before other jobs end."""

    def is_given_back() -> bool:
        row = application.row(job_id)
        return (row["status"], row["attempt"]) != ("running", 1)

    eventually(is_given_back, HANG_S)
