"""Once the service says that it is up, ``ray job submit`` works: also beside another Ray."""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from scripts.dev import cluster
from scripts.dev.environment import ray_environment
from scripts.dev.ports import PortClaims
from tests.support.rays import Rays

pytestmark = pytest.mark.timeout(1800)

USUAL_AGENT_PORT = 52365


@pytest.fixture
def dashboard_url(rays: Rays) -> Iterator[str]:
    """A Ray whose job agent cannot have the port that Ray always gives it."""
    rays.stop()
    folder = Path(tempfile.mkdtemp(prefix="atl-ray-", dir="/tmp"))
    before, claims = dict(os.environ), PortClaims()
    os.environ.update(ray_environment(folder, claims))
    with ExitStack() as stack:
        with suppress(OSError):  # another Ray has it
            stack.enter_context(socket.create_server(("", USUAL_AGENT_PORT)))
        try:
            yield cluster.start_ray(folder, folder)
        finally:
            cluster.stop_ray()
            cluster.sweep_leftovers(folder)
            os.environ.clear()
            os.environ.update(before)
            claims.release()
            shutil.rmtree(folder, ignore_errors=True)


def test_a_job_runs_though_another_ray_has_the_usual_port(dashboard_url: str) -> None:
    cluster.wait_until_jobs_are_taken(dashboard_url, seconds=400)
    client = JobSubmissionClient(dashboard_url)
    submitted = [job for job in client.list_jobs() if job.submission_id is not None]
    assert submitted == [], "the question left no job behind"
    job_id = client.submit_job(entrypoint="echo made")
    until = time.monotonic() + 240
    while not (status := client.get_job_status(job_id)).is_terminal():
        assert time.monotonic() < until, status
        time.sleep(0.2)
    assert status == JobStatus.SUCCEEDED
    assert "made" in client.get_job_logs(job_id)


def test_up_is_not_said_while_no_agent_takes_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers as Ray gives them while its agent is on the way, and after."""
    asked = []

    class Client:
        def __init__(self, address: str) -> None:
            if len(asked) == 0:
                asked.append("nothing listens")
                raise ConnectionError("refused")

        def submit_job(self, **given: object) -> str:
            asked.append("no agent" if len(asked) < 3 else "agent")
            if asked[-1] == "agent":
                raise RuntimeError("status code 500: ValueError: Invalid label selector value")
            raise RuntimeError("status code 500: No available agent to submit job")

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", Client)
    cluster.wait_until_jobs_are_taken("http://127.0.0.1:1")
    assert asked == ["nothing listens", "no agent", "no agent", "agent"]
    asked.clear()
    with pytest.raises(RuntimeError, match=r"takes no jobs after 0 s: .*refused"):
        cluster.wait_until_jobs_are_taken("http://127.0.0.1:1", seconds=0)
