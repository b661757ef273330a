"""Scaling on a real cluster: six generators on one logical GPU, from zero and back to it."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.application import Application, replica_pids, running, submit, wait
from tests.support.toys import MODULES, NAMES

pytestmark = pytest.mark.timeout(500)

LOADED_S = 125.0
IDLE_S = 12


@pytest.fixture(scope="module")
def diary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the toys write which process ran a job, from when to when."""
    return tmp_path_factory.mktemp("toys") / "diary"


@pytest.fixture(scope="module")
def application(store_environment: dict[str, str], diary: Path) -> Iterator[Application]:
    more = {"ATELIER_TOYS": str(diary), "WELCOME_CREDITS": "100000"}
    with running({**store_environment, **more}, num_gpus=1, deployed=False) as started:
        started.redeploy(
            generators=MODULES,
            gpu=True,
            min_replicas=0,
            max_replicas=2,
            # Turns are short here, since a minute has to hold three of them.
            rules={"idle_s": IDLE_S, "settle_s": 5, "shortest_turn_s": 8},
        )
        yield started


@pytest.fixture
def ada(application: Application) -> Iterator[httpx.Client]:
    with application.person() as client:
        yield client


def replicas(name: str) -> int:
    """Processes that are, or are about to be, replicas of a generator."""
    return len(replica_pids(name))


def test_from_zero_to_a_result_and_back_to_zero(ada: httpx.Client) -> None:
    assert [replicas(name) for name in NAMES] == [0] * 6
    job = wait(ada, submit(ada, "ann", seconds=0.5))
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert replicas("ann") == 1
    until = time.monotonic() + IDLE_S + 30
    while replicas("ann") and time.monotonic() < until:
        time.sleep(0.5)
    assert replicas("ann") == 0


def test_six_of_half_a_gpu_each_share_one_and_all_of_them_get_on(
    ada: httpx.Client, diary: Path
) -> None:
    diary.unlink(missing_ok=True)
    began = time.time()
    jobs: dict[str, list[str]] = {name: [] for name in NAMES}
    while time.time() - began < LOADED_S:
        for one in ada.get("/v1/generators").json()["data"]:
            for _ in range(8 - one["queue"]["waiting"]):
                jobs[one["name"]].append(submit(ada, one["name"], seconds=1.0))
        time.sleep(1.0)
    ended = {name: [wait(ada, job, seconds=120) for job in mine] for name, mine in jobs.items()}

    for name, done in ended.items():
        assert {(job["status"], job["attempt"]) for job in done} == {("succeeded", 1)}, name
        minutes = loaded_minutes(done, began)
        assert min(minutes[0], minutes[1]) > 0, f"{name} finished {minutes}"

    ran = [tuple(map(float, line.split())) for line in diary.read_text().splitlines()]
    assert len(ran) == sum(map(len, jobs.values())), "each job ran once"
    assert most_at_once(ran) == 2, "one GPU holds two replicas of half of it, and held them"


def loaded_minutes(done: list[dict[str, Any]], began: float) -> Counter[int]:
    """How many jobs ended in each minute of the load."""
    ends = (datetime.fromisoformat(job["finished_at"]).timestamp() for job in done)
    return Counter(int((end - began) // 60) for end in ends)


def most_at_once(ran: list[tuple[float, ...]]) -> int:
    """The most processes that had a job at the same moment."""
    changes = sorted((at, step) for _, *span in ran for at, step in zip(span, (1, -1), strict=True))
    return max(accumulate(step for _, step in changes))
