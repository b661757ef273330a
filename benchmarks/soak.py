"""Does a replica's memory stay flat? ``python -m benchmarks.soak [--jobs 100] [--json FILE]``

Each generator runs in a process of its own, as its replica does, and works through ``--jobs`` jobs:
the examples it ships, turn and turn about, each time with another seed, two at a time where it
takes several. The resident memory of the process is read after every job; ``growth`` is the slope
of a line through the second half of the readings, in MB per 100 jobs, since caches fill in the
first half.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MB = 2**20


def soaked(module: str, jobs: int) -> list[float]:
    """The resident memory after each job, in MB."""
    import psutil

    from deployments.catalog import load_spec
    from deployments.malloc import limit_arenas
    from tests.support.running_generators import example, examples, run

    limit_arenas()
    spec = load_spec(module)
    inputs = [example(spec, name) for name in examples(spec)]
    process = psutil.Process()
    readings: list[float] = []

    def work(number: int) -> None:
        given = inputs[number % len(inputs)] | {"seed": number}
        with tempfile.TemporaryDirectory() as folder:
            run(spec, given, Path(folder))
        readings.append(process.memory_info().rss / MB)

    with ThreadPoolExecutor(min(2, spec.concurrency)) as pool:
        list(pool.map(work, range(jobs)))
    return readings


def growth(readings: list[float]) -> float:
    """MB per 100 jobs: least squares through the second half."""
    import numpy as np

    half = readings[len(readings) // 2 :]
    return float(np.polyfit(np.arange(len(half)), half, 1)[0] * 100)


def in_a_process(module: str, jobs: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.soak", "--one", module, "--jobs", str(jobs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--generator", action="append", help="only these modules")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(soaked(arguments.one, arguments.jobs)))
        return
    from rich.console import Console
    from rich.table import Table

    from scripts.dev.cluster import application

    modules: list[str] = arguments.generator or application()["args"]["generators"]
    table = Table("generator", "after 10", "half way", "at the end", "growth, MB per 100 jobs")
    figures: dict[str, Any] = {}
    for module in modules:
        readings = in_a_process(module, arguments.jobs)
        told = {
            "after_10_mb": readings[min(9, len(readings) - 1)],
            "half_way_mb": readings[len(readings) // 2],
            "end_mb": readings[-1],
            "growth_mb_per_100": growth(readings),
        }
        figures[module.rpartition(".")[2]] = told
        table.add_row(module.rpartition(".")[2], *(f"{value:.0f}" for value in told.values()))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"jobs": arguments.jobs, **figures}, indent=1))


if __name__ == "__main__":
    main()
