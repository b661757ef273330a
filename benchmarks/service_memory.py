"""What the whole service holds in memory, and how long a generator's first job takes.

``python -m benchmarks.service_memory [--idle SECONDS] [--json FILE]``

Starts the service on new data and runs a small job of every generator twice: the first time after
a cold start, the second time when everything it needs is loaded. Then nobody asks for anything for
``--idle`` seconds (ten minutes), and each generator gets such a job again. Of the image generator
the first picture is the one that the service makes when it starts, counted from "up".

Memory is PSS, the resident pages of each process, with shared ones divided among those that share
them, so that the sum is what the machine gives. It is read after every job; "most" is the largest
sum. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.running_service import (
    RunningService,
    running_service,
    service_home,
    stop_on_signals,
)
from tests.chaos.works import SERVED, names, works

MIB = 1 << 20
IDLE_S = 600.0
GENERATORS = names(SERVED)
STORES = {"postgres": "postgres", "valkey-server": "valkey", "weed": "seaweedfs"}
_REPLICA = re.compile(r"ServeReplica:atelier:(\w+)")
console = Console()


@dataclass(frozen=True)
class Memory:
    """PSS in MiB, by what the processes are."""

    mib: dict[str, float]

    @property
    def sum_mib(self) -> float:
        return sum(self.mib.values())


@dataclass
class FirstJobs:
    """Seconds from the POST until the job of a generator had ended."""

    cold_s: dict[str, float] = field(default_factory=dict)
    warm_s: dict[str, float] = field(default_factory=dict)
    after_idle_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """``used`` is the memory after a job of every generator, ``idle`` that after ``idle_s``."""

    up_s: float
    first_picture_s: float
    jobs: FirstJobs
    used: Memory
    most_mib: float
    idle_s: float
    idle: Memory
    machine: str


def part_of(command: Sequence[str], parents: Sequence[str]) -> str:
    """What a process is: a replica, a store, Ray, or the program that started them.

    ``command`` is its command line, ``parents`` are the names of the processes above it.
    """
    line = " ".join(command)
    if replica := _REPLICA.search(line):
        return f"replica: {replica[1]}"
    program = Path(command[0]).name if command else ""
    for name in (program.partition(":")[0], *parents):
        if name in STORES:
            return f"store: {STORES[name]}"
    if line.startswith("ray::") or "/ray/" in line or program == "haproxy":
        return "Ray"
    return "the program that started it"


def memory(service: RunningService) -> Memory:
    """The memory of all processes of the service now."""
    found: dict[str, float] = defaultdict(float)
    for process in service.processes():
        with suppress(psutil.Error):
            pss = process.memory_full_info().pss
            parents = [parent.name() for parent in process.parents()]
            found[part_of(process.cmdline(), parents)] += pss / MIB
    return Memory(dict(sorted(found.items())))


def job_s(client: httpx.Client, generator: str, values: dict[str, Any]) -> float:
    """Run a job; returns the seconds until it had ended.

    Raises:
        SystemExit: it failed.
    """
    started = time.perf_counter()
    body = {"generator": generator, "input": values}
    job = client.post("/v1/jobs", json=body).raise_for_status().json()
    while job["status"] in ("queued", "running"):
        job = client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).raise_for_status().json()
    if job["status"] != "succeeded":
        raise SystemExit(f"{generator}: {job['status']}: {job['error']}")
    return time.perf_counter() - started


def measure(idle_s: float) -> Results:
    inputs = {work.generator: work.input for work in works() if work.generator in GENERATORS}
    jobs, most = FirstJobs(), 0.0
    with (
        service_home() as home,
        running_service(home) as service,
        service.client() as client,
    ):
        for name in GENERATORS:
            jobs.cold_s[name] = job_s(client, name, inputs[name])
            jobs.warm_s[name] = job_s(client, name, inputs[name])
            most = max(most, memory(service).sum_mib)
            console.print(f"  {name}: {jobs.cold_s[name]:.2f} s, then {jobs.warm_s[name]:.2f} s")
        jobs.cold_s["image"] = service.first_picture_s
        used = memory(service)
        console.print(f"  all used: {used.sum_mib:.0f} MiB")
        with console.status(f"idle for {idle_s:.0f} s"):
            time.sleep(idle_s)
        idle = memory(service)
        for name in GENERATORS:
            jobs.after_idle_s[name] = job_s(client, name, inputs[name])
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return Results(service.up_s, service.first_picture_s, jobs, used, most, idle_s, idle, machine)


def show(results: Results) -> None:
    heads = ("first job, seconds", "cold start", "again", f"idle for {results.idle_s:.0f} s")
    table = Table(*heads, title=f"up after {results.up_s:.1f} s ({results.machine})")
    for name in GENERATORS:
        by_time = (results.jobs.cold_s, results.jobs.warm_s, results.jobs.after_idle_s)
        table.add_row(name, *(f"{seconds[name]:.2f}" for seconds in by_time))
    console.print(table)
    table = Table("PSS, MiB", "all used once", f"idle for {results.idle_s:.0f} s")
    for part in sorted({*results.used.mib, *results.idle.mib}):
        both = (results.used.mib.get(part, 0.0), results.idle.mib.get(part, 0.0))
        table.add_row(part, *(f"{mib:.0f}" for mib in both))
    table.add_row("sum", f"{results.used.sum_mib:.0f}", f"{results.idle.sum_mib:.0f}")
    table.add_row("most at a time", f"{results.most_mib:.0f}", "")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.service_memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds without a request")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    stop_on_signals()
    results = measure(arguments.idle)
    show(results)
    if arguments.json is not None:
        sums = {"used_mib": results.used.sum_mib, "idle_mib": results.idle.sum_mib}
        arguments.json.write_text(json.dumps(asdict(results) | sums, indent=1) + "\n")


if __name__ == "__main__":
    main()
