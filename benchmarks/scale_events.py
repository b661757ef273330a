"""Is a job ever lost to scaling? ``python -m benchmarks.scale_events [--events 200] [--json FILE]``

Six small generators beside one manager, on one logical GPU of a real cluster over servers of its
own. Each wave submits some jobs to every one of them and waits until all replicas are gone again:
every replica that starts or stops is an event. Surplus replicas stop while jobs run. Each job must
have ended well at its first attempt.

``start`` is from a submit while no replica runs until the job starts, in seconds, of the first job
of each generator in a wave.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from db.embedded.supervisor import EmbeddedServers
from tests.support.application import replica_pids, running, submit, wait
from tests.support.toys import MODULES, NAMES

LOOK_EVERY_S = 0.1
JOB_S = 1.5
JOBS = 4  # of each generator in a wave
GONE_WITHIN_S = 120.0
RULES = {"drain_s": 1, "idle_s": 2, "settle_s": 1}
PLENTY = "1000000"


@dataclass
class Census:
    """Which replicas there are, looked at in a thread of its own."""

    starts: int = 0
    stops: int = 0
    alive: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in NAMES})

    @property
    def events(self) -> int:
        return self.starts + self.stops

    def look(self) -> None:
        for name, before in self.alive.items():
            now = set(replica_pids(name))
            self.starts += len(now - before)
            self.stops += len(before - now)
            self.alive[name] = now


@dataclass(frozen=True)
class Results:
    """``first_s``: median and maximum, in seconds."""

    starts: int
    stops: int
    jobs: int
    ended_otherwise: int
    first_s: tuple[float, float]
    minutes: float


@contextmanager
def taken() -> Iterator[Census]:
    census, over = Census(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            census.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield census
    finally:
        over.set()
        thread.join()


def wave(client: httpx.Client, census: Census) -> list[dict[str, Any]]:
    """Jobs for every generator, from no replica to none; as they ended, the first of each first."""
    job_ids = [submit(client, name, seconds=JOB_S) for _ in range(JOBS) for name in NAMES]
    ended = [wait(client, job_id, seconds=GONE_WITHIN_S) for job_id in job_ids]
    until = time.monotonic() + GONE_WITHIN_S
    while any(census.alive.values()):
        if time.monotonic() > until:
            raise TimeoutError(f"replicas stay: {census.alive}")
        time.sleep(LOOK_EVERY_S)
    return ended


def to_start(job: dict[str, Any]) -> float:
    submitted, began = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    return (began - submitted).total_seconds()


def measure(events: int) -> Results:
    began = time.monotonic()
    jobs: list[dict[str, Any]] = []
    first: list[float] = []
    with tempfile.TemporaryDirectory(prefix="atl-scale-", dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o711)  # Postgres runs as another user where this runs as root
        servers = EmbeddedServers(home)
        try:
            servers.start()
            more = {"ATELIER_TOYS": str(home / "diary"), "WELCOME_CREDITS": PLENTY}
            stores = {**servers.environment(), **more}
            with running(stores, num_gpus=1, deployed=False) as application:
                application.redeploy(
                    generators=MODULES, gpu=True, min_replicas=0, max_replicas=3, rules=RULES
                )
                with application.person() as client, taken() as census:
                    bar = track(range(events), "scaling", console=Console(stderr=True))
                    for reached in bar:
                        if reached < census.events:
                            continue
                        ended = wave(client, census)
                        first += map(to_start, ended[: len(NAMES)])
                        jobs += ended
        finally:
            servers.stop()
    otherwise = [job for job in jobs if (job["status"], job["attempt"]) != ("succeeded", 1)]
    for job in otherwise:
        print(f"{job['id']}: {job['status']}, attempt {job['attempt']}", file=sys.stderr)
    return Results(
        starts=census.starts,
        stops=census.stops,
        jobs=len(jobs),
        ended_otherwise=len(otherwise),
        first_s=(round(median(first), 2), round(max(first), 2)),
        minutes=round((time.monotonic() - began) / 60, 1),
    )


def show(results: Results) -> None:
    table = Table("", "")
    table.add_row("replicas started, stopped", f"{results.starts}, {results.stops}")
    table.add_row("jobs", str(results.jobs))
    table.add_row("not succeeded at attempt 1", str(results.ended_otherwise))
    middle, most = results.first_s
    table.add_row("start from zero", f"{middle:.2f} s, at most {most:.2f} s")
    table.add_row("took", f"{results.minutes:.1f} min on {os.cpu_count()} CPUs")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Scale up and down, and count what it costs.")
    parser.add_argument("--events", type=int, default=200, help="replica starts and stops")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    results = measure(options.events)
    show(results)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=2) + "\n")
    if results.ended_otherwise:
        raise SystemExit(f"{results.ended_otherwise} jobs did not end well at their first attempt")


if __name__ == "__main__":
    main()
