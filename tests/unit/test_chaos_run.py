"""When a run of ``python -m tests.chaos`` ends, and that its faults are over by then."""

import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from random import Random
from typing import cast

import pytest

from db.embedded.supervisor import EmbeddedServers
from tests.chaos.__main__ import is_enough
from tests.chaos.faults import Target, await_recovery, fill_disk, redeploy

OPTIONS = Namespace(minutes=1.0, jobs=10, faults=3, kinds=2)


@pytest.mark.parametrize(
    ("seconds", "faults", "jobs", "enough"),
    [
        (59, "aabb", 20, False),
        (61, "aab", 10, True),
        (61, "aab", 9, False),
        (61, "ab", 10, False),
        (61, "aaa", 10, False),
        (299, "", 0, False),
        (301, "", 0, True),
    ],
)
def test_a_run_goes_on_until_enough_has_happened(
    seconds: float, faults: str, jobs: int, enough: bool
) -> None:
    assert is_enough(OPTIONS, seconds, Counter(faults), jobs) is enough


class Brief(Random):
    """Faults that last a moment."""

    def uniform(self, a: float, b: float) -> float:
        return 0.2


def test_faults_are_over_after_the_recovery(tmp_path: Path) -> None:
    deployed = []

    def deploy(number: int) -> None:
        time.sleep(0.2)
        deployed.append(number)

    ballast = tmp_path / "ballast"
    ballast.symlink_to("/dev/full")  # the disk has no byte left
    servers = cast(EmbeddedServers, None)
    target = Target(servers, tmp_path, "", "", "", (), deploy)
    assert fill_disk(target, Brief(1)) and redeploy(target, Brief(1))
    assert ballast.is_symlink() and not deployed
    await_recovery(60)
    assert deployed and not ballast.is_symlink()
