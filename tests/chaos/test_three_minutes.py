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

OPTIONS = "--minutes=3 --seed=1 --rate=1.0 --every=6"


@pytest.mark.timeout(1800)
def test_nothing_is_lost_or_charged_twice(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.chaos", *OPTIONS.split(), "--json", report]
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
    # It was a run worth its name. On an idle machine there are twice as many of both.
    assert found["faults"] >= 12
    assert len(found["by_fault"]) >= 5
    assert found["jobs"] >= 80
