"""The engine beside a bare pipeline and fixed batches, taking turns in one run.

``python -m benchmarks.engine [--json FILE] [--quick]``

Prints images a second and latency at 1, 4 and 16 requests at a time with mixed prompts, steps and
guidance; the share of a mix of short and long requests, coming as people come, that is answered
within five times what it takes alone; and the largest difference of any pixel from what the bare
pipeline draws, for DDIM, Euler, DPM++ and a flow-matching model. Stop what else uses the machine.

All of them compute with one thread a pass, because more cost these networks time: the last table
shows passes of the denoiser by lanes at work at once, threads of each, and rows.

``engine_vs_*_N`` are images a second at N requests at a time, higher is better;
``engine_p95_vs_fixed_batch_16`` is a latency, lower is better.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from rich.console import Console
from rich.table import Table

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.engine.lanes import ROWS, Passes, measure
from benchmarks.engine.servers import Fixed, OnEngine
from benchmarks.loads import (
    LONG,
    SHORT,
    Server,
    Speed,
    Wanted,
    as_people_come,
    at_a_time,
    median_speed,
    mixed,
    poisson_arrivals,
    share_in_time,
    short_and_long,
)
from models.diffusion.batching import lanes_for
from models.diffusion.batching.cost import BatchCost
from models.profiles.load import Capability, load_profile
from tests.support.miniatures import flows
from tests.support.miniatures.profile import entry
from tests.support.miniatures.profile import profile as miniature_profile

AT_A_TIME = (1, 4, 16)
LOADS = (0.7, 0.9, 1.1)
SCHEDULERS = ("ddim", "euler", "dpm++_2m")
console = Console()


def speeds(servers: list[Server], rounds: int) -> dict[str, dict[int, Speed]]:
    """Every server in every round, so that a busy moment of the machine hits all of them."""
    found: dict[str, dict[int, list[Speed]]] = {server.name: {} for server in servers}
    for round_ in range(rounds):
        for count in AT_A_TIME:
            requests = mixed(max(6, 3 * count), seed=round_ * 10 + count)
            for server in servers:
                measured = at_a_time(server, requests, count)
                found[server.name].setdefault(count, []).append(measured)
                console.print(f"  round {round_ + 1}, {count} at a time, {server.name}: {measured}")
    return {
        name: {count: median_speed(each) for count, each in by_count.items()}
        for name, by_count in found.items()
    }


def in_time(servers: list[Server], bare: BarePipeline, count: int) -> dict[str, dict[str, float]]:
    """The share answered in time, by server and load."""
    alone = {
        steps: statistics.median(
            at_a_time(bare, [Wanted("a red circle on a blue background", 1, steps, 3.0)], 1).p50_s
            for _ in range(3)
        )
        for steps in (SHORT, LONG)
    }
    shares: dict[str, dict[str, float]] = {server.name: {} for server in servers}
    for load in LOADS:
        requests = short_and_long(count, seed=7)
        mean_s = statistics.mean(alone[wanted.steps] for wanted in requests)
        for server in servers:
            arrivals = poisson_arrivals(count, load / mean_s, seed=8)
            answers = as_people_come(server, requests, arrivals)
            share = share_in_time(answers, lambda wanted: alone[wanted.steps])
            shares[server.name][f"{load:.0%}"] = share
            console.print(f"  load {load:.0%}, {server.name}: {share:.2f}")
    return shares


def differences(bare: BarePipeline, engine: OnEngine, count: int) -> dict[str, float]:
    """The largest difference of a pixel value (0 to 1) by scheduler, all requests at once."""
    found: dict[str, float] = {}
    for scheduler in SCHEDULERS:
        found[scheduler] = _difference(
            bare, engine, [replace(w, scheduler=scheduler) for w in mixed(count, seed=99)]
        )
    with tempfile.TemporaryDirectory() as folder:
        model = entry("FluxPipeline", flows.flux(Path(folder)))
        size = {"width": 64, "height": 64, "min_size": 64, "max_size": 64}
        profile = miniature_profile(Capability.TEXT_TO_IMAGE, model, **size)
        flow_bare, flow_engine = BarePipeline(profile), OnEngine(profile, lanes_for("cpu"))
        requests = [replace(w, scheduler="flow_euler") for w in mixed(count, seed=98)]
        found["flow matching"] = _difference(flow_bare, flow_engine, requests)
        flow_engine.close()
    return found


def _difference(bare: BarePipeline, engine: OnEngine, requests: list[Wanted]) -> float:
    wanted = [bare.together([one], output="np")[0] for one in requests]
    with ThreadPoolExecutor(len(requests)) as callers:
        made = list(callers.map(engine.exact, requests))
    return max(float(np.abs(a - b).max()) for a, b in zip(wanted, made, strict=True))


def report(
    found: dict[str, dict[int, Speed]],
    shares: Any,
    differ: dict[str, float],
    passes: list[Passes],
) -> None:
    table = Table("requests at a time", "served", "images/s", "p50 s", "p95 s")
    for count in AT_A_TIME:
        for name, by_count in found.items():
            s = by_count[count]
            table.add_row(
                str(count), name, f"{s.images_per_s:.2f}", f"{s.p50_s:.2f}", f"{s.p95_s:.2f}"
            )
    console.print(table)
    table = Table("answered within 5x alone", *(f"load {load:.0%}" for load in LOADS))
    for name, by_load in shares.items():
        table.add_row(name, *(f"{share:.2f}" for share in by_load.values()))
    console.print(table)
    table = Table("largest difference from the bare pipeline", "of a pixel value, 0 to 1")
    for name, value in differ.items():
        table.add_row(name, f"{value:.1e}")
    console.print(table)
    table = Table("lanes", "threads of each", *(f"{rows} rows" for rows in ROWS), title="ms a row")
    by_way: dict[tuple[int, int], list[str]] = {}
    for one in passes:
        by_way.setdefault((one.lanes, one.threads), []).append(f"{one.ms_per_row:.2f}")
    for (lanes, threads), cells in by_way.items():
        table.add_row(str(lanes), str(threads), *cells)
    console.print(table)


def _plain(cost: BatchCost) -> dict[str, Any]:
    ways = {f"{lanes} lanes, {threads} threads": ms for (lanes, threads), ms in cost.ways.items()}
    return {**asdict(replace(cost, ways={})), "ways": ways}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--quick", action="store_true", help="one round, few requests")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    diffusers_logging.set_verbosity_error()
    profile = load_profile("tiny")
    bare, fixed, cores = BarePipeline(profile), Fixed(profile), lanes_for("cpu")
    one_lane, engine = OnEngine(profile, 1, "engine, one lane"), OnEngine(profile, cores)
    servers: list[Server] = [bare, fixed, one_lane, engine]
    for server in servers:
        at_a_time(server, mixed(4, seed=1), 2)
    found = speeds(servers, rounds=1 if arguments.quick else 3)
    shares = in_time(servers, bare, count=12 if arguments.quick else 40)
    differ = differences(bare, engine, count=4 if arguments.quick else 8)
    costs = engine.pictures.batch_costs()
    for server in (fixed, one_lane, engine):
        server.close()
    passes = measure(bare.pipeline, cores)
    report(found, shares, differ, passes)
    ratios = {
        f"engine_vs_sequential_{count}": found[engine.name][count].images_per_s
        / found[bare.name][count].images_per_s
        for count in AT_A_TIME
    }
    ratios["engine_vs_one_lane_16"] = (
        found[engine.name][16].images_per_s / found[one_lane.name][16].images_per_s
    )
    ratios["engine_p95_vs_fixed_batch_16"] = (
        found[engine.name][16].p95_s / found[fixed.name][16].p95_s
    )
    ratios["max_abs_diff"] = max(differ.values())
    for name, value in ratios.items():
        console.print(f"{name:32} {value:.3g}")
    if arguments.json:
        speeds_ = {
            name: {str(count): asdict(s) for count, s in by_count.items()}
            for name, by_count in found.items()
        }
        data = {
            "ratios": ratios,
            "speeds": speeds_,
            "in_time": shares,
            "differences": differ,
            "costs": [_plain(cost) for cost in costs],
            "passes": [asdict(one) for one in passes],
        }
        arguments.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
