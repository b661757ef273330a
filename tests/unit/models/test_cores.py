"""How many cores a container's limit leaves."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from models import cores
from models.cores import usable_cores
from models.diffusion.batching import lanes_for

MODELS = Path(cores.__file__).parent
SetLimit = Callable[..., None]


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetLimit:
    """Writes the files of a cgroup, on a machine with eight cores."""
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))

    def write(**files: str) -> None:
        (tmp_path / "cpu").mkdir()
        names = {
            "max": "cpu.max",
            "quota": "cpu/cpu.cfs_quota_us",
            "period": "cpu/cpu.cfs_period_us",
        }
        for name, text in files.items():
            (tmp_path / names[name]).write_text(f"{text}\n")

    return write


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({}, 8),
        ({"max": "max 100000"}, 8),
        ({"max": "200000 100000"}, 2),
        ({"max": "150000 100000"}, 2),
        ({"max": "25000 100000"}, 1),
        ({"max": "6400000 100000"}, 8),
        ({"quota": "-1", "period": "100000"}, 8),
        ({"quota": "300000", "period": "100000"}, 3),
        ({"quota": "10000", "period": "100000"}, 1),
        ({"max": "unreadable"}, 8),
    ],
)
def test_the_smaller_of_affinity_and_limit_counts(
    limit: SetLimit, files: dict[str, str], usable: int
) -> None:
    limit(**files)
    assert usable_cores() == usable


def test_the_diffusion_engine_has_no_more_lanes_than_the_limit(limit: SetLimit) -> None:
    limit(max="300000 100000")
    assert lanes_for("cpu") == 3


def test_nothing_else_of_models_counts_cores() -> None:
    counting = {
        str(path.relative_to(MODELS))
        for path in MODELS.rglob("*.py")
        if any(call in path.read_text() for call in ("sched_getaffinity", "cpu_count"))
    }
    assert counting == {"cores.py"}
