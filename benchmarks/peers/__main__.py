"""Atelier beside what one would write instead: ``python -m benchmarks.peers [--quick] [--json F]``.

LitServe, Ray ``@serve.batch``, BentoML and plain FastAPI serve the same trained miniature over HTTP
on loopback, each as its documentation recommends (see their files here), with a worker for each
core. Atelier is the whole service, money and storage included. The same requests go to each:

- 1, 4, 16 and 32 callers, each of whom asks again when the last picture is there; prompts, seeds,
  steps and guidance are mixed;
- arrivals at random (Poisson) at 70, 90 and 110 % of the capacity of the best peer: that is what
  it did of these requests with 16 callers. Three users want the same work, one in long pictures,
  two in short ones. A picture is in time within five times what the quickest system takes for it
  alone. Jain's index is over the users' paces (time alone / latency): 1 if all are slowed alike.

One system runs at a time. In every round each has its turn, in the opposite order of the round
before, and every figure is the median over the rounds. Needs the extra ``peers``; BentoML gets an
environment of its own at the first run. Stop what else uses the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.loads import (
    LONG,
    SHORT,
    Answered,
    Server,
    Speed,
    Wanted,
    as_people_come,
    at_a_time,
    jain_index,
    median_speed,
    mixed,
    of_three_users,
    pace_by_user,
    poisson_arrivals,
    share_in_time,
    speed,
)
from benchmarks.peers import bentoml_environment
from benchmarks.peers.atelier import Atelier
from benchmarks.peers.systems import CORES, PEERS, System
from benchmarks.running_service import service_home, stop_on_signals

CALLERS = (1, 4, 16, 32)
CAPACITY_CALLERS = 16
LOADS = (0.7, 0.9, 1.1)
ALONE = {
    steps: Wanted("a red circle on a blue background", 1, steps, 3.0) for steps in (SHORT, LONG)
}
console = Console()


@dataclass(frozen=True)
class Amount:
    """How much is measured: rounds, requests a caller, and arrivals at a load."""

    rounds: int
    per_caller: int
    fewest: int
    arrivals: int


FULL, QUICK = Amount(3, 4, 16, 160), Amount(1, 2, 8, 40)


@dataclass(frozen=True)
class Closed:
    """A system with callers that wait: its speed by their number, what short and long pictures take
    alone (seconds by steps), and its capacity for the requests that arrive (pictures a second)."""

    speeds: dict[int, Speed]
    alone_s: dict[int, float]
    capacity: float


@dataclass(frozen=True)
class Open:
    """A system under arrivals at random."""

    speed: Speed
    in_time: float
    jain: float
    refused: int


@dataclass(frozen=True)
class Results:
    """Everything, by the names of the systems; ``arrivals`` are at loads of ``capacity``."""

    closed: dict[str, Closed]
    capacity: float
    alone_s: dict[int, float]
    arrivals: dict[str, dict[str, Open]]
    machine: str


def in_turn(systems: Sequence[System], rounds: int, ask: Callable[[Server, int], None]) -> None:
    """Call ``ask(server, round)`` for each system while it runs, in alternating order."""
    for round_ in range(rounds):
        for system in systems if round_ % 2 == 0 else reversed(systems):
            with console.status(f"round {round_ + 1}, {system.name}"), system.running() as server:
                at_a_time(server, mixed(4 * CORES, seed=1), 2 * CORES)  # it loads, and warms up
                ask(server, round_)


def with_callers(systems: Sequence[System], amount: Amount) -> dict[str, Closed]:
    """The closed loops."""
    found: dict[str, list[Closed]] = {system.name: [] for system in systems}

    def ask(server: Server, round_: int) -> None:
        speeds = {}
        for callers in CALLERS:
            count = max(amount.fewest, amount.per_caller * callers)
            speeds[callers] = at_a_time(server, mixed(count, seed=round_ * 100 + callers), callers)
            console.print(f"  round {round_ + 1}, {server.name}, {callers}: {speeds[callers]}")
        alone = {steps: at_a_time(server, [one] * 3, 1).p50_s for steps, one in ALONE.items()}
        requests = of_three_users(max(2 * CAPACITY_CALLERS, amount.arrivals // 2), seed=round_)
        capacity = at_a_time(server, requests, CAPACITY_CALLERS).images_per_s
        found[server.name].append(Closed(speeds, alone, capacity))

    in_turn(systems, amount.rounds, ask)
    return {name: _median_closed(rounds) for name, rounds in found.items()}


def _median_closed(rounds: Sequence[Closed]) -> Closed:
    return Closed(
        {callers: median_speed([r.speeds[callers] for r in rounds]) for callers in CALLERS},
        {steps: statistics.median(r.alone_s[steps] for r in rounds) for steps in ALONE},
        statistics.median(r.capacity for r in rounds),
    )


def with_arrivals(
    systems: Sequence[System], amount: Amount, capacity: float, alone_s: dict[int, float]
) -> dict[str, dict[str, Open]]:
    """The open loops, by system and load."""
    found: dict[str, dict[str, list[Open]]] = {system.name: {} for system in systems}

    def ask(server: Server, round_: int) -> None:
        for load in LOADS:
            requests = of_three_users(amount.arrivals, seed=round_)
            arrivals = poisson_arrivals(amount.arrivals, load * capacity, seed=round_)
            one = judged(as_people_come(server, requests, arrivals), arrivals, alone_s)
            found[server.name].setdefault(f"{load:.0%}", []).append(one)
            console.print(f"  round {round_ + 1}, {server.name}, {load:.0%}: {one}")

    in_turn(systems, amount.rounds, ask)
    return {
        name: {load: _median_open(each) for load, each in by_load.items()}
        for name, by_load in found.items()
    }


def judged(
    answers: Sequence[Answered], arrivals: Sequence[float], alone_s: dict[int, float]
) -> Open:
    """Sum up the answers to requests that came at ``arrivals`` (seconds from the start).

    At least one of them was no refusal.
    """

    def alone(wanted: Wanted) -> float:
        return alone_s[wanted.steps]

    ended = [
        (answer.seconds, at_s + answer.seconds)
        for answer, at_s in zip(answers, arrivals, strict=True)
        if answer.seconds is not None
    ]
    paces = pace_by_user(answers, alone)
    return Open(
        speed([seconds for seconds, _ in ended], max(end for _, end in ended)),
        share_in_time(answers, alone),
        jain_index(list(paces.values())),
        len(answers) - len(ended),
    )


def _median_open(rounds: Sequence[Open]) -> Open:
    return Open(
        median_speed([r.speed for r in rounds]),
        statistics.median(r.in_time for r in rounds),
        statistics.median(r.jain for r in rounds),
        round(statistics.median(r.refused for r in rounds)),
    )


def compare(systems: Sequence[System], amount: Amount) -> Results:
    closed = with_callers(systems, amount)
    peers = [each for name, each in closed.items() if name != Atelier.name] or [*closed.values()]
    capacity = max(each.capacity for each in peers)
    alone_s = {steps: min(each.alone_s[steps] for each in closed.values()) for steps in ALONE}
    machine = f"{CORES} cores, {platform.machine()}, Python {platform.python_version()}"
    arrivals = with_arrivals(systems, amount, capacity, alone_s)
    return Results(closed, capacity, alone_s, arrivals, machine)


def ratios(results: Results) -> dict[str, float]:
    """Atelier beside the best peer: the one with the most images/s, or with the largest share."""
    closed = {name: each.speeds for name, each in results.closed.items() if name != Atelier.name}
    if Atelier.name not in results.closed or not closed:
        return {}
    ours, found = results.closed[Atelier.name].speeds, {}
    for callers in CALLERS:
        best = max((speeds[callers] for speeds in closed.values()), key=lambda s: s.images_per_s)
        found[f"images_vs_best_peer_{callers}"] = ours[callers].images_per_s / best.images_per_s
        found[f"p95_vs_best_peer_{callers}"] = ours[callers].p95_s / best.p95_s
    for load, one in results.arrivals[Atelier.name].items():
        best_share = max(results.arrivals[name][load].in_time for name in closed)
        found[f"in_time_minus_best_peer_{load}"] = one.in_time - best_share
    return found


def show(results: Results) -> None:
    heads = (f"{callers} callers" for callers in CALLERS)
    table = Table("images/s; p50, p95 s", *heads, "capacity")
    for name, each in results.closed.items():
        cells = (
            f"{s.images_per_s:.2f}; {s.p50_s:.2f}, {s.p95_s:.2f}" for s in each.speeds.values()
        )
        table.add_row(name, *cells, f"{each.capacity:.2f}")
    console.print(table)
    columns = ("load", "system", "images/s", "p50 s", "p95 s", "in time", "Jain", "refused")
    table = Table(*columns, title=f"arrivals; 100 % is {results.capacity:.2f} images/s")
    for load in (f"{load:.0%}" for load in LOADS):
        for name, by_load in results.arrivals.items():
            one = by_load[load]
            figures = (one.speed.images_per_s, one.speed.p50_s, one.speed.p95_s)
            shares = (f"{one.in_time:.2f}", f"{one.jain:.2f}", str(one.refused))
            table.add_row(load, name, *(f"{figure:.2f}" for figure in figures), *shares)
    console.print(table)
    for name, ratio in ratios(results).items():
        console.print(f"{name:32} {ratio:.2f}")
    console.print(f"{results.machine}; load average now {os.getloadavg()[0]:.1f}")


def chosen(names: Sequence[str], home: Path) -> Iterator[System]:
    """The systems to compare; BentoML's environment is made if it is wanted and not there.

    Raises:
        SystemExit: one of them needs something that is not installed.
    """
    every: list[System] = [*PEERS, Atelier(home)]
    for system in every:
        if names and not any(name.lower() in system.name.lower() for name in names):
            continue
        if system.name == "BentoML":
            bentoml_environment.ensure()
        if missing := system.missing():
            raise SystemExit(f"{system.name} needs {missing}")
        yield system


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one round of few requests")
    parser.add_argument("--only", nargs="+", default=(), help="parts of the names of systems")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    stop_on_signals()
    with service_home() as home:
        systems = list(chosen(arguments.only, home))
        results = compare(systems, QUICK if arguments.quick else FULL)
    show(results)
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps(asdict(results) | {"ratios": ratios(results)}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
