"""What the whole system adds to a picture: ``python -m benchmarks.whole_system [--json FILE]``.

Starts the service twice on a fresh data folder (cold start, second start) and, with it up:

- the wall time of an image job, from the POST to the downloaded picture, beside the same prompt,
  seed, steps and guidance through the bare diffusers pipeline in this process, taking turns;
- how long a submit takes to be answered, while the replica draws;
- how long the next job takes after a `kill -9` of the replica or a store, submit and wait included.

Both share the machine with everything else that runs on it: stop what you can.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import signal
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from benchmarks.running_service import (
    RunningService,
    running_service,
    service_home,
    stop_on_signals,
)
from models.profiles.load import Capability, load_profile

PROMPT = "a woman with red hair in a blue shirt at the beach"


@dataclass(frozen=True)
class Results:
    """Seconds, unless the name says otherwise."""

    cold_start_s: float
    second_start_s: float
    jobs: int
    job_p50_s: float
    job_p95_s: float
    bare_p50_s: float
    bare_p95_s: float
    job_over_bare: float
    same_pictures: bool
    submits: int
    submit_p50_ms: float
    submit_p95_ms: float
    after_kill_s: dict[str, float]
    machine: str


def percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(np.asarray(values), percent))


def job_body(seed: int) -> dict[str, Any]:
    return {"generator": "image", "input": {"prompt": PROMPT, "seed": seed}}


def one_job(client: httpx.Client, seed: int) -> tuple[float, bytes]:
    started = time.perf_counter()
    job = client.post("/v1/jobs", json=job_body(seed)).raise_for_status().json()
    job = client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()
    content = httpx.get(job["outputs"][0]["url"]).raise_for_status().content
    return time.perf_counter() - started, content


def one_call(bare: BarePipeline, seed: int) -> tuple[float, Any]:
    use = load_profile("tiny").capability_config(Capability.TEXT_TO_IMAGE)
    started = time.perf_counter()
    picture = bare.draw(Wanted(PROMPT, seed, use.steps, use.guidance))
    return time.perf_counter() - started, picture


def submits(client: httpx.Client, count: int) -> list[float]:
    """The seconds of each submit; what was submitted is cancelled again."""
    seconds, ids = [], []
    for seed in track(range(count), description="submits"):
        started = time.perf_counter()
        answer = client.post("/v1/jobs", json=job_body(seed)).raise_for_status()
        seconds.append(time.perf_counter() - started)
        ids.append(answer.json()["id"])
    for job_id in reversed(ids):
        client.post(f"/v1/jobs/{job_id}/cancel")
    return seconds


def after_kill(client: httpx.Client, pid: int) -> float:
    """Seconds from the kill of ``pid`` to the next picture; a refusal is asked again."""
    os.kill(pid, signal.SIGKILL)
    started = time.perf_counter()
    while client.post("/v1/jobs", json=job_body(0)).status_code != 202:
        time.sleep(0.1)
    newest = client.get("/v1/jobs", params={"limit": 1}).json()["data"][0]["id"]
    while client.get(f"/v1/jobs/{newest}", params={"wait": 60}).json()["status"] != "succeeded":
        time.sleep(0.1)
    return time.perf_counter() - started


def pids_of(service: RunningService) -> dict[str, int]:
    """The image replica of the service, and its stores."""
    replica = next(
        process.pid
        for process in service.processes()
        if any("ServeReplica:atelier:image" in word for word in process.cmdline())
    )
    return {"replica": replica} | {name: service.pids[name] for name in ("valkey", "postgres")}


def measure(jobs: int, submitted: int) -> Results:
    with service_home() as home:
        with running_service(home) as service:
            cold = service.up_s
        with running_service(home) as service, service.client() as client:
            second = service.up_s
            bare = BarePipeline(load_profile("tiny"))
            one_call(bare, 0)
            system_s, bare_s, same = [], [], True
            for seed in track(range(jobs), description="jobs"):
                took, content = one_job(client, seed)
                system_s.append(took)
                took, picture = one_call(bare, seed)
                bare_s.append(took)
                made = np.asarray(Image.open(io.BytesIO(content)), dtype=int)
                same &= bool(np.abs(made - np.asarray(picture, dtype=int)).max() <= 1)
            submit_s = submits(client, submitted)
            killed = {name: after_kill(client, pid) for name, pid in pids_of(service).items()}
    return Results(
        cold_start_s=cold,
        second_start_s=second,
        jobs=jobs,
        job_p50_s=statistics.median(system_s),
        job_p95_s=percentile(system_s, 95),
        bare_p50_s=statistics.median(bare_s),
        bare_p95_s=percentile(bare_s, 95),
        job_over_bare=statistics.median(system_s) / statistics.median(bare_s),
        same_pictures=same,
        submits=submitted,
        submit_p50_ms=1000 * statistics.median(submit_s),
        submit_p95_ms=1000 * percentile(submit_s, 95),
        after_kill_s=killed,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    )


def show(results: Results, console: Console) -> None:
    table = Table("what", "p50", "p95", title=f"The whole system ({results.machine})")
    table.add_row("image job, POST to picture", *_seconds(results.job_p50_s, results.job_p95_s))
    table.add_row("the bare pipeline call", *_seconds(results.bare_p50_s, results.bare_p95_s))
    table.add_row("job over bare call", f"{results.job_over_bare:.2f}x", "")
    milliseconds = (f"{results.submit_p50_ms:.0f} ms", f"{results.submit_p95_ms:.0f} ms")
    table.add_row("submit, POST to 202", *milliseconds)
    table.add_row("cold start (new data)", f"{results.cold_start_s:.0f} s", "")
    table.add_row("second start", f"{results.second_start_s:.0f} s", "")
    for name, seconds in results.after_kill_s.items():
        table.add_row(f"next job after kill -9 of {name}", f"{seconds:.1f} s", "")
    console.print(table)
    same = "the same" if results.same_pictures else "DIFFERENT"
    console.print(f"{results.jobs} jobs and calls gave {same} pictures; {results.submits} submits.")


def _seconds(*values: float) -> list[str]:
    return [f"{value:.2f} s" for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_system", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--submits", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    stop_on_signals()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    results = measure(arguments.jobs, arguments.submits)
    show(results, Console())
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
