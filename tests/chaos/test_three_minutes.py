"""Three minutes of everything going wrong: nothing is lost, nothing is charged twice.

Ten minutes and an hour are commands: ``python -m tests.chaos --minutes 10 --seed 1``.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.dev.cluster import ROOT

OPTIONS = "--minutes=3 --seed=1 --rate=1.0 --every=10"
# What makes it a run worth its name: a slow machine goes on for longer than three minutes.
JOBS, FAULTS, KINDS = 80, 12, 5


@pytest.mark.timeout(3600)  # ends a hang
def test_nothing_is_lost_or_charged_twice(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    least = [f"--jobs={JOBS}", f"--faults={FAULTS}", f"--kinds={KINDS}"]
    command = [sys.executable, "-m", "tests.chaos", *OPTIONS.split(), *least, "--json", report]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "said").open("w+") as said:
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT
        ) as running:
            try:
                running.wait()
            except BaseException:  # such as Ctrl-C: it stops what it started
                running.send_signal(signal.SIGINT)
                running.wait(60)
                raise
        said.seek(0)
        assert running.returncode == 0, said.read()[-5000:]
    found = json.loads(report.read_text())
    assert found["jobs"] >= JOBS
    assert found["faults"] >= FAULTS
    assert len(found["by_fault"]) >= KINDS
