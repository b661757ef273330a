"""Ten minutes of everything going wrong: nothing is lost, nothing is charged twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.dev.cluster import ROOT

MINUTES = 10
OPTIONS = f"--minutes={MINUTES} --seed=1 --rate=1.6 --every=7"


@pytest.mark.timeout(60 * MINUTES + 600)
def test_nothing_is_lost_or_charged_twice(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *OPTIONS.split(), "--json", report],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    found = json.loads(report.read_text())
    assert found["faults"] >= 60
    assert found["jobs"] >= 500
