"""The GPU benchmarks, as an operator starts them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str, report: Path) -> tuple[int, Any, str]:
    """Exit status, what it wrote as JSON, and all it said."""
    command = [sys.executable, "-m", module, *arguments, "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700)
    said = done.stdout + done.stderr
    assert report.exists(), said
    return done.returncode, json.loads(report.read_text()), said


@pytest.mark.timeout(1800)
def test_the_8_gb_profile_keeps_to_its_budget_at_real_size(device: str, tmp_path: Path) -> None:
    """Every plan within 15 % of its estimate and under the budget: else the benchmark ends with 1.

    On a CPU only that the same code runs, with two miniatures.
    """
    small = ["--device", "cpu", "--miniature", "--capabilities", "text_to_image", "depth"]
    status, data, said = run(
        "benchmarks.gpu.memory",
        *("--steps", "2"),
        *(small if device == "cpu" else []),
        report=tmp_path / "memory.json",
    )
    assert status == 0, said
    chosen = [result for result in data["results"] if result["chosen"]]
    assert len(chosen) == (2 if device == "cpu" else 12)
    assert all(result["record"]["measured_mb"] for result in data["results"])


@pytest.mark.timeout(1800)
def test_the_engine_draws_the_same_at_any_number_of_clients(device: str, tmp_path: Path) -> None:
    status, data, said = run(
        "benchmarks.gpu.engine",
        *("--device", device, "--miniature", "--clients", "1", "3", "--steps", "2"),
        report=tmp_path / "engine.json",
    )
    assert status == 0, said
    assert {(row["model"], row["way"]) for row in data["rows"]} == {
        (model, way) for model in ("sd15", "sdxl", "klein") for way in ("diffusers", "engine")
    }
    assert all(0 < row["of_floor"] < 1 for row in data["rows"])
    # Pictures are of 256 levels: a rounding may go the other way.
    assert max(data["largest_difference"].values()) <= 1.01 / 255
