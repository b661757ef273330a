"""Scaling on a real cluster: six generators on one logical GPU, from zero and back to it."""

from pathlib import Path

import httpx
import pytest

from deployments.gpu_manager.names import GPU_MANAGER
from tests.support.application import Application, replica_pids, submit, wait
from tests.support.rays import Rays
from tests.support.toys import MODULES, NAMES
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(1800)  # with Ray's start and the deploy


@pytest.fixture(scope="module")
def diary(shared: dict[str, str]) -> Path:
    """Where the toys write which process ran a job, from when to when."""
    return Path(shared["ATELIER_TOYS"])


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    """Nothing runs until there is work, and little longer than that."""
    started = rays.get(shared, num_gpus=1)
    started.redeploy(
        generators=MODULES,
        replica_cpus=0.2,  # all six fit beside their manager
        gpu=True,
        min_managers=0,
        min_replicas=0,
        max_replicas=2,
        rules={"idle_s": 4, "settle_s": 2},
    )
    return started


def replicas() -> dict[str, list[int]]:
    """The processes that are, or are about to be, replicas of a manager or of a generator."""
    found = {name: replica_pids(name) for name in (*NAMES, GPU_MANAGER)}
    return {name: pids for name, pids in found.items() if pids}


def test_six_generators_work_at_once_on_one_gpu_and_none_is_restarted(
    ada: httpx.Client, diary: Path
) -> None:
    assert replicas() == {}
    long = [submit(ada, name, seconds=300.0) for name in NAMES]
    for job_id in long:
        wait(ada, job_id, "running")
    assert all(ada.get(f"/v1/jobs/{job_id}").json()["status"] == "running" for job_id in long)
    began = replicas()
    assert {name: len(pids) for name, pids in began.items()} == dict.fromkeys(
        (*NAMES, GPU_MANAGER), 1
    )
    short = [submit(ada, name, seconds=0.2) for name in NAMES]
    for job_id in long:
        ada.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    for job_id in short:
        job = wait(ada, job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
    ran = {line.split()[0] for line in diary.read_text().splitlines()}
    assert ran == {str(pid) for name in NAMES for pid in began[name]}


def test_without_work_all_of_them_go(ada: httpx.Client) -> None:
    eventually(lambda: not replicas(), seconds=300)
