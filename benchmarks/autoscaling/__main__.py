"""How long do jobs wait? ``python -m benchmarks.autoscaling [--load-seconds 2] [--json FILE]``

The same traffic is replayed against ``QueueDepthPolicy``, against Ray Serve's request-based policy
(with its default delays, and with short ones) and against fixed replicas, in a simulated cluster
(``benchmarks.autoscaling.cluster`` says what it does). ``wait`` is from a job's arrival until a
replica takes it; jobs that still wait at the end count with what they waited so far. Over all
generators every generator weighs the same, however many jobs it had. ``working`` is
the part of the GPUs' time held by replicas that had a job, ``held`` by replicas at all. ``gap`` is
the longest time in which some generator with waiting jobs finished none.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.autoscaling.cluster import Cluster, Line
from benchmarks.autoscaling.policies import EVERY_S, Fixed, Policy, QueueDepth, RaysOwn
from benchmarks.autoscaling.traffic import Arrival, Catalog, Scenario, arrivals, scenarios
from deployments.catalog import load_catalog
from scripts.dev.cluster import application


@dataclass(frozen=True)
class Row:
    scenario: str
    policy: str
    generator: str
    jobs: int
    wait_p50: float
    wait_p95: float
    wait_max: float
    starts: int
    gap: float


@dataclass(frozen=True)
class Total:
    scenario: str
    policy: str
    gpus: int
    jobs: int
    wait_p50: float
    wait_p95: float
    wait_max: float
    working: float
    held: float
    most_held: float
    starts: int
    gap: float


def replay(cluster: Cluster, policy: Policy, traffic: list[Arrival], seconds: float) -> None:
    coming = iter(traffic)
    following = next(coming, None)
    while cluster.now < seconds:
        while following is not None and following.at <= cluster.now:
            cluster.arrive(following)
            following = next(coming, None)
        cluster.ask(policy.decide(cluster))
        cluster.step(EVERY_S)


def waits(line: Line, now: float) -> list[float]:
    return line.waits + [now - job.at for job in line.waiting]


def gap(line: Line, came: list[float], now: float) -> float:
    """The longest time without a finished job, from an arrival on while jobs wait or run."""
    if not came:
        return 0.0
    marks = sorted(line.finished)
    longest, since, done = 0.0, came[0], 0
    for mark in marks:
        longest = max(longest, mark - since)
        done += 1
        # With everything done, the next gap begins when the next job comes.
        since = mark if done >= len(came) or came[done] <= mark else came[done]
    return max(longest, now - since) if done < len(came) else longest


def measure(
    scenario: Scenario, catalog: Catalog, modules: list[str], options: argparse.Namespace
) -> tuple[list[Row], list[Total]]:
    seconds, load_s = options.minutes * 60.0, options.load_seconds
    catalog = scenario.catalog(catalog)
    traffic = arrivals(scenario, catalog, seconds, options.seed)
    makers: dict[str, Callable[[Cluster], Policy]] = {
        "queue depth": lambda cluster: QueueDepth(modules, scenario.shares, cluster, load_s),
        "Ray's": lambda cluster: RaysOwn(catalog),
        "Ray's, quick": lambda cluster: RaysOwn(
            catalog, upscale_delay_s=1.0, downscale_delay_s=10.0, look_back_period_s=11.0
        ),
        "fixed": lambda cluster: Fixed(catalog, scenario.gpus),
    }
    rows, totals = [], []
    for name, make in makers.items():
        cluster = Cluster(catalog, scenario.gpus, load_s, options.seed)
        replay(cluster, make(cluster), traffic, seconds)
        found = [
            _row(scenario.name, name, generator, line, traffic, cluster.now)
            for generator, line in cluster.lines.items()
        ]
        rows += found
        totals.append(_total(scenario, name, cluster, found))
    return rows, totals


def _row(
    scenario: str, policy: str, generator: str, line: Line, traffic: list[Arrival], now: float
) -> Row:
    came = [job.at for job in traffic if job.generator == generator]
    p50, p95, most = _quantiles(waits(line, now))
    return Row(
        scenario, policy, generator, len(came), p50, p95, most, line.starts, gap(line, came, now)
    )


def _total(scenario: Scenario, policy: str, cluster: Cluster, rows: list[Row]) -> Total:
    each = [found for line in cluster.lines.values() if (found := waits(line, cluster.now))]
    weights = [1 / len(found) for found in each for _ in found]
    p50, p95, most = _quantiles([wait for found in each for wait in found], weights)
    whole = cluster.gpus * cluster.now
    return Total(
        scenario.name,
        policy,
        cluster.gpus,
        len(weights),
        p50,
        p95,
        most,
        cluster.worked / whole,
        cluster.held / whole,
        cluster.most_held,
        sum(row.starts for row in rows),
        max(row.gap for row in rows),
    )


def _quantiles(
    values: list[float], weights: list[float] | None = None
) -> tuple[float, float, float]:
    if not values:
        return 0.0, 0.0, 0.0
    p50, p95, most = np.quantile(values, [0.5, 0.95, 1.0], weights=weights, method="inverted_cdf")
    return float(p50), float(p95), float(most)


def show(rows: list[Row], totals: list[Total], console: Console, each: bool) -> None:
    table = Table("scenario", "policy", title="all generators; waits in seconds")
    for name in ("jobs", "p50", "p95", "max", "working", "held", "starts", "gap s"):
        table.add_column(name, justify="right")
    for total in totals:
        waited = (f"{s:.0f}" for s in (total.wait_p50, total.wait_p95, total.wait_max))
        parts = f"{total.working:.0%}", f"{total.held:.0%}", str(total.starts), f"{total.gap:.0f}"
        table.add_row(total.scenario, total.policy, str(total.jobs), *waited, *parts)
    console.print(table)
    if not each:
        return
    table = Table("scenario", "generator", "policy", title="each generator")
    for name in ("jobs", "p50", "p95", "max", "starts", "gap s"):
        table.add_column(name, justify="right")
    for row in sorted(rows, key=lambda row: (row.scenario, row.generator)):
        waited = (f"{s:.0f}" for s in (row.wait_p50, row.wait_p95, row.wait_max))
        end = str(row.starts), f"{row.gap:.0f}"
        table.add_row(row.scenario, row.generator, row.policy, str(row.jobs), *waited, *end)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.autoscaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="simulated, each scenario")
    parser.add_argument("--load-seconds", type=float, default=2.0, help="until a replica is up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="also a table of every generator")
    parser.add_argument("--json", type=Path, help="also write the results there")
    options = parser.parse_args()
    modules = application()["args"]["generators"]
    catalog = load_catalog(modules)
    # A line for each decision is what operators want, and not who reads this table.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    console = Console()
    rows: list[Row] = []
    totals: list[Total] = []
    for scenario in track(scenarios(catalog), "scenarios", console=console):
        more_rows, more_totals = measure(scenario, catalog, modules, options)
        rows += more_rows
        totals += more_totals
    show(rows, totals, console, options.each)
    if options.json is not None:
        told = {
            "totals": [asdict(total) for total in totals],
            "generators": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
