"""Scaling on a real cluster: six generators on one logical GPU, from zero and back to it."""

import time
from itertools import accumulate
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.application import HANG_S, Application, replica_pids, submit, wait
from tests.support.rays import Rays
from tests.support.toys import MODULES, NAMES
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(900)

TURNS = 2
IDLE_S = 12


@pytest.fixture(scope="module")
def diary(shared: dict[str, str]) -> Path:
    """Where the toys write which process ran a job, from when to when."""
    return Path(shared["ATELIER_TOYS"])


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared, num_gpus=1)
    started.redeploy(
        generators=MODULES,
        gpu=True,
        min_replicas=0,
        max_replicas=2,
        # Turns are short here, so that all of them have had two soon.
        rules={"idle_s": IDLE_S, "settle_s": 5, "shortest_turn_s": 8},
    )
    return started


def replicas(name: str) -> int:
    """Processes that are, or are about to be, replicas of a generator."""
    return len(replica_pids(name))


def test_from_zero_to_a_result_and_back_to_zero(ada: httpx.Client) -> None:
    assert [replicas(name) for name in NAMES] == [0] * 6
    job = wait(ada, submit(ada, "ann", seconds=0.5))
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert replicas("ann") == 1
    eventually(lambda: replicas("ann") == 0, seconds=300)


def test_six_of_half_a_gpu_each_share_one_and_all_of_them_get_on(
    application: Application, ada: httpx.Client, diary: Path
) -> None:
    """Under load that never ends, each has had several turns by the end; none had to wait for the
    others to run dry."""
    diary.unlink(missing_ok=True)
    jobs: dict[str, list[str]] = {name: [] for name in NAMES}
    until = time.monotonic() + 2 * HANG_S
    while any(seen < TURNS for seen in turns(application).values()):
        assert time.monotonic() < until, turns(application)
        for one in ada.get("/v1/generators").json()["data"]:
            waiting = 4 if one["queue"] is None else one["queue"]["waiting"]  # None: not known now
            for _ in range(4 - waiting):
                jobs[one["name"]].append(submit(ada, one["name"], seconds=1.0))
        time.sleep(1.0)
    ended = {name: [wait(ada, job) for job in mine] for name, mine in jobs.items()}
    for name, done in ended.items():
        assert {(job["status"], job["attempt"]) for job in done} == {("succeeded", 1)}, name
    ran = [tuple(map(float, line.split())) for line in diary.read_text().splitlines()]
    assert len(ran) == sum(map(len, jobs.values())), "each job ran once"
    assert most_at_once(ran) == 2, "one GPU holds two replicas of half of it, and held them"


def turns(application: Application) -> dict[str, int]:
    """How many replicas of each generator have done jobs: each turn starts a new one."""
    plain = application.environment["DATABASE_URL"].replace("+psycopg", "")
    query = (
        "SELECT generator, count(DISTINCT replica) FROM jobs"
        " WHERE status = 'succeeded' GROUP BY generator"
    )
    with psycopg.connect(plain) as connection:
        return dict.fromkeys(NAMES, 0) | dict(connection.execute(query).fetchall())


def most_at_once(ran: list[tuple[float, ...]]) -> int:
    """The most processes that had a job at the same moment."""
    changes = sorted((at, step) for _, *span in ran for at, step in zip(span, (1, -1), strict=True))
    return max(accumulate(step for _, step in changes))
