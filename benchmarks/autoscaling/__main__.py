"""How long do jobs wait? ``python -m benchmarks.autoscaling [--load-seconds 2] [--json FILE]``

The same traffic is replayed in a simulated cluster against ``QueueDepthPolicy``, which scales one
manager a GPU and the generators beside them: with jobs that go to the card that has their model,
and to any card. And, with a model of its own in each replica, against
the turns that generators took before there were managers, Ray Serve's request-based policy (with
its default delays, and with short ones) and fixed replicas. ``benchmarks.autoscaling.card`` and
``.cluster`` say what is assumed.

``wait`` is from a job's arrival until a replica takes it, ``result`` until it ends; jobs that are
not so far at the end count with the time until then. Over all generators every generator weighs the
same, however many jobs it had. ``working`` is the part of the GPUs' time in which they did jobs,
``loads`` how often a model was loaded. ``gap`` is the longest time in which some generator with
jobs finished none.
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
from benchmarks.autoscaling.policies import EVERY_S, Fixed, Policy, QueueDepth, RaysOwn, Turns
from benchmarks.autoscaling.traffic import Arrival, Catalog, Scenario, arrivals, scenarios
from deployments.catalog import load_catalog
from scripts.dev.cluster import application


@dataclass(frozen=True)
class Row:
    """One generator's, or all of them; times in seconds."""

    scenario: str
    policy: str
    generator: str
    jobs: int
    wait_p50: float
    wait_p95: float
    wait_max: float
    result_p95: float
    gap: float
    working: float = 0.0
    loads: int = 0


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


def results(line: Line, now: float) -> list[float]:
    left = [job.at for job in line.active] + [job.at for job in line.waiting]
    return line.results + [now - at for at in left]


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
) -> tuple[list[Row], list[Row]]:
    """What each generator had under each policy, and all of them together."""
    seconds, load_s = options.minutes * 60.0, options.load_seconds
    traffic = arrivals(scenario, catalog, seconds, options.seed)
    makers: dict[str, Callable[[Cluster], Policy]] = {
        "managers": lambda cluster: QueueDepth(modules, cluster),
        "managers, any": lambda cluster: QueueDepth(modules, cluster),
        "turns": lambda cluster: Turns(catalog, scenario, load_s),
        "Ray's": lambda cluster: RaysOwn(catalog),
        "Ray's, quick": lambda cluster: RaysOwn(
            catalog, upscale_delay_s=1.0, downscale_delay_s=10.0, look_back_period_s=11.0
        ),
        "fixed": lambda cluster: Fixed(catalog, scenario),
    }
    rows, totals = [], []
    for name, make in makers.items():
        cluster = Cluster(
            catalog,
            scenario,
            load_s,
            options.seed,
            managed=name.startswith("managers"),
            by_model=name == "managers",
        )
        replay(cluster, make(cluster), traffic, seconds)
        found = [_row(scenario.name, name, each, cluster, traffic) for each in catalog]
        rows += found
        totals.append(_total(found, cluster, list(catalog)))
    return rows, totals


def _row(
    scenario: str, policy: str, generator: str, cluster: Cluster, traffic: list[Arrival]
) -> Row:
    line, now = cluster.lines[generator], cluster.now
    came = [job.at for job in traffic if job.generator == generator]
    waited = _quantiles(waits(line, now))
    _, result_p95, _ = _quantiles(results(line, now))
    return Row(scenario, policy, generator, len(came), *waited, result_p95, gap(line, came, now))


def _total(rows: list[Row], cluster: Cluster, generators: list[str]) -> Row:
    lines = [cluster.lines[name] for name in generators]
    worked = sum(card.worked for card in cluster.cards) / (len(cluster.cards) * cluster.now)
    _, result_p95, _ = _weighted([results(line, cluster.now) for line in lines])
    return Row(
        rows[0].scenario,
        rows[0].policy,
        "all",
        sum(row.jobs for row in rows),
        *_weighted([waits(line, cluster.now) for line in lines]),
        result_p95,
        max(row.gap for row in rows),
        worked,
        cluster.loads,
    )


def _weighted(each: list[list[float]]) -> tuple[float, float, float]:
    """Quantiles over all generators, each with the same weight."""
    weights = [1 / len(found) for found in each for _ in found]
    return _quantiles([value for found in each for value in found], weights)


def _quantiles(
    values: list[float], weights: list[float] | None = None
) -> tuple[float, float, float]:
    if not values:
        return 0.0, 0.0, 0.0
    p50, p95, most = np.quantile(values, [0.5, 0.95, 1.0], weights=weights, method="inverted_cdf")
    return float(p50), float(p95), float(most)


def show(rows: list[Row], title: str, console: Console, *, each: bool) -> None:
    table = Table("scenario", "generator" if each else "policy", title=title)
    if each:
        table.add_column("policy")
    for name in ("jobs", "p50", "p95", "max", "result p95", "gap"):
        table.add_column(name, justify="right")
    if not each:
        table.add_column("working", justify="right")
        table.add_column("loads", justify="right")
    for row in rows:
        times = (row.wait_p50, row.wait_p95, row.wait_max, row.result_p95, row.gap)
        who = (row.generator, row.policy) if each else (row.policy,)
        end = () if each else (f"{row.working:.0%}", str(row.loads))
        table.add_row(row.scenario, *who, str(row.jobs), *(f"{s:.0f}" for s in times), *end)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.autoscaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="simulated, each scenario")
    parser.add_argument(
        "--load-seconds", type=float, default=2.0, help="what loading a model takes"
    )
    parser.add_argument(
        "--gain", type=float, default=1.0, help="the part of the measured gain of batches to expect"
    )
    parser.add_argument(
        "--apart", action="store_true", help="no two generators draw with the same network"
    )
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
    totals: list[Row] = []
    for scenario in track(
        scenarios(catalog, options.gain, options.apart), "scenarios", console=console
    ):
        more_rows, more_totals = measure(scenario, catalog, modules, options)
        rows += more_rows
        totals += more_totals
    show(totals, "all generators; waits in seconds", console, each=False)
    if options.each:
        by_generator = sorted(rows, key=lambda row: (row.scenario, row.generator))
        show(by_generator, "each generator; waits in seconds", console, each=True)
    if options.json is not None:
        told = {
            "totals": [asdict(total) for total in totals],
            "generators": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
