"""How near to doing nothing are submit, get and list? ``python -m benchmarks.ingress``

Clients in closed loops ask a route that does nothing (``/healthz``: no log-in, no store), one that
only authenticates (``/openai/v1/models``), and those of jobs, in turns of a few seconds; ``of
nothing`` is a rate divided by that of ``/healthz`` in the same round, the median of all rounds. The
service runs as ./scripts/run starts it, over stores of its own; with ``--api-only`` the API runs
behind uvicorn without Ray, for a quick look. Jobs that are submitted wait: the queue is paused.
``nothing, bare ray`` and ``nothing, bare uvicorn`` are an application with that one route, served
by Ray Serve and by uvicorn alone, in the same run once the service has ended.

Then ``get`` and ``list`` once more with a million jobs in the table, of which half belong to the
caller. ``p50, times`` is a latency over that with a thousand; ``beside nothing`` is how much more a
call costs, counted in calls of ``/healthz`` in the same minutes: if the load of the machine changes
between the two halves, it changes the first figure alone. ``list, deep page`` begins in the middle
of the caller's jobs. The clients run on the same machine; the last line says what they took of it.
``--json FILE`` also writes the results.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.ingress.bare import SERVERS, bare_server
from benchmarks.ingress.load import Measured, Work, http_request, run_clients
from benchmarks.ingress.places import api_alone, whole_service
from benchmarks.ingress.rows import Caller, fill_jobs, jobs_of, make_callers
from benchmarks.running_service import stop_on_signals
from benchmarks.stores import GENERATOR, INPUT, own_stores
from benchmarks.whole_system import percentile

SHALLOW = 1000
GETS = 50  # different jobs that a client asks for in turn
WARM_UP_S = 0.5
NOTHING = "nothing"
# The least share of the do-nothing route's rate, and the most that a large table may cost.
TARGETS = {"submit": 0.5, "get, waiting": 0.7, "get, finished": 0.7, "list": 0.7}
MOST_DEEP = 1.5
READS = ("get, finished", "list", "list, deep page")


@dataclass(frozen=True)
class Cost:
    """A route with so many clients: requests a second, milliseconds, share of ``nothing``'s rate
    in the same rounds, and the clients' CPU in microseconds a request."""

    route: str
    clients: int
    rate: float
    p50_ms: float
    p95_ms: float
    of_nothing: float
    client_us: float


# The cells of a table by the names of their columns.
Columns = Mapping[str, Callable[[Cost], str]]


@dataclass(frozen=True)
class Results:
    """``load_1m`` is the machine's load average when it began."""

    place: str
    machine: str
    load_1m: float
    shallow_jobs: int
    shallow: list[Cost]
    deep_jobs: int = 0
    deep: list[Cost] = field(default_factory=list)


class Bench:
    """The clients of one address."""

    def __init__(
        self, address: tuple[str, int], database_url: str, pool: ProcessPoolExecutor
    ) -> None:
        self._host, self._port = address
        self._database_url, self._pool = database_url, pool

    def works(self, callers: Sequence[Caller], clients: int) -> dict[str, list[Work]]:
        """What each client asks of each route. The first caller has most of the jobs."""
        reader, others = callers[0], callers[1 : clients + 1]
        finished = jobs_of(self._database_url, reader, "succeeded", 0, GETS)
        (middle,) = jobs_of(self._database_url, reader, "succeeded", 0.5, 1)
        submit = {"generator": GENERATOR, "input": INPUT}
        found = {
            NOTHING: self.nothing(clients),
            "only authentication": [self._gets(each, ["/openai/v1/models"]) for each in others],
            "get, finished": [self._gets(reader, _job_paths(finished))] * clients,
            "list": [self._gets(reader, ["/v1/jobs"])] * clients,
            "list, deep page": [self._gets(reader, [f"/v1/jobs?after={middle}"])] * clients,
            "submit": [
                Work([self._request("POST", "/v1/jobs", each, submit)], 202) for each in others
            ],
        }
        waiting = [jobs_of(self._database_url, each, "queued", 0, GETS) for each in others]
        if all(waiting):
            found["get, waiting"] = [
                self._gets(each, _job_paths(ids)) for each, ids in zip(others, waiting, strict=True)
            ]
        return found

    def nothing(self, clients: int) -> list[Work]:
        """The route that does nothing, asked by each client."""
        return [Work([self._request("GET", "/healthz")])] * clients

    def run(self, work: Sequence[Work], seconds: float) -> Measured:
        """Run the clients in the pool's process.

        Raises:
            RuntimeError: an answer was not the expected one.
        """
        return self._pool.submit(run_clients, self._host, self._port, work, seconds).result()

    def _gets(self, caller: Caller, paths: Sequence[str]) -> Work:
        return Work([self._request("GET", path, caller) for path in paths])

    def _request(
        self, method: str, path: str, caller: Caller | None = None, body: object = None
    ) -> bytes:
        headers = {} if caller is None else {"X-API-Key": caller.api_key}
        return http_request(f"{self._host}:{self._port}", method, path, headers, body)


def _job_paths(ids: Sequence[str]) -> list[str]:
    return [f"/v1/jobs/{job_id}" for job_id in ids]


def compare(
    bench: Bench, works: dict[str, list[Work]], clients: int, rounds: int, seconds: float
) -> list[Cost]:
    """Measure routes in turns, each round in the opposite order of the one before."""
    for work in works.values():
        bench.run(work, WARM_UP_S)
    found: dict[str, list[Measured]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works) if number % 2 == 0 else list(reversed(works))
        for name in names:
            found[name].append(bench.run(works[name], seconds))
    nothing = [_rate(each) for each in found[NOTHING]]
    return [
        _cost(name, clients, each, [_rate(m) / n for m, n in zip(each, nothing, strict=True)])
        for name, each in found.items()
    ]


def compare_bare(bench: Bench, name: str, service: Sequence[Cost], seconds: float) -> list[Cost]:
    """Measure a bare server with as many clients as the service's route that does nothing had."""
    found = []
    for cost in service:
        work = bench.nothing(cost.clients)
        bench.run(work, WARM_UP_S)
        each = [bench.run(work, seconds)]
        ratios = [_rate(each[0]) / cost.rate]
        found.append(_cost(f"{NOTHING}, bare {name}", cost.clients, each, ratios))
    return found


def _rate(measured: Measured) -> float:
    return len(measured.latencies_ms) / measured.wall_s


def _cost(name: str, clients: int, each: Sequence[Measured], ratios: Sequence[float]) -> Cost:
    latencies = [latency for measured in each for latency in measured.latencies_ms]
    return Cost(
        name,
        clients,
        statistics.median(_rate(measured) for measured in each),
        statistics.median(latencies),
        percentile(latencies, 95),
        statistics.median(ratios),
        1e6 * sum(measured.client_cpu_s for measured in each) / len(latencies),
    )


def measure(arguments: argparse.Namespace, console: Console) -> Results:
    levels: list[int] = arguments.clients
    load = os.getloadavg()[0]
    place = api_alone if arguments.api_only else whole_service
    spawn = multiprocessing.get_context("spawn")
    shallow: list[Cost] = []
    deep: list[Cost] = []
    bare: list[Cost] = []
    with own_stores() as stores, ProcessPoolExecutor(1, spawn) as pool:
        url = stores.database_url.get_secret_value()
        with place(stores) as address:
            callers = make_callers(url, max(levels) + 1)
            fill_jobs(url, callers, 1, SHALLOW)
            bench = Bench(address, url, pool)
            bench.run(bench.works(callers, max(levels))["submit"], WARM_UP_S)  # some that wait
            for clients in levels:
                with console.status(f"{clients} clients, {SHALLOW:,} jobs"):
                    works = bench.works(callers, clients)
                    shallow += compare(bench, works, clients, arguments.rounds, arguments.seconds)
            if arguments.deep:
                with console.status(f"filling the table with {arguments.deep:,} jobs"):
                    fill_jobs(url, callers, SHALLOW + 1, arguments.deep)
                for clients in levels:
                    with console.status(f"{clients} clients, {arguments.deep:,} jobs"):
                        works = bench.works(callers, clients)
                        reads = {name: works[name] for name in (NOTHING, *READS)}
                        deep += compare(bench, reads, clients, arguments.rounds, arguments.seconds)
        for name in SERVERS:
            with console.status(f"bare {name}"), bare_server(name) as address:
                service = [cost for cost in shallow if cost.route == NOTHING]
                bench = Bench(address, url, pool)
                seconds = arguments.rounds * arguments.seconds
                bare += compare_bare(bench, name, service, seconds)
    return Results(
        place="the API behind uvicorn" if arguments.api_only else "the whole service",
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        load_1m=load,
        shallow_jobs=SHALLOW,
        shallow=sorted(shallow + bare, key=lambda cost: cost.clients),
        deep_jobs=arguments.deep,
        deep=deep,
    )


def show(results: Results, console: Console) -> None:
    title = f"{results.place} ({results.machine}, load {results.load_1m:.1f} at the start)"
    shares: Columns = {
        "of nothing": lambda cost: f"{cost.of_nothing:.0%}",
        "target": lambda cost: f"{TARGETS[cost.route]:.0%}" if cost.route in TARGETS else "",
    }
    console.print(_table(title, results.shallow, shares))
    if results.deep:
        title = f"{results.deep_jobs:,} jobs over those of the above"
        console.print(_table(title, results.deep, _beside(results.shallow)))
    spent = [cost.client_us for cost in results.shallow]
    console.print(
        f"The clients took {min(spent):.0f} to {max(spent):.0f} us of CPU a request, on the same"
        " machine."
    )


def _beside(shallow: Sequence[Cost]) -> Columns:
    """What a large table costs beside a small one, as columns."""
    before = {(cost.clients, cost.route): cost for cost in shallow}

    def times(cost: Cost) -> str:
        return f"{cost.p50_ms / before[cost.clients, cost.route].p50_ms:.2f}"

    def beside_nothing(cost: Cost) -> str:
        return f"{before[cost.clients, cost.route].of_nothing / cost.of_nothing:.2f}"

    return {
        "p50, times": times,
        "beside nothing": beside_nothing,
        "at most": lambda cost: "" if cost.route == NOTHING else f"{MOST_DEEP}",
    }


def _table(title: str, costs: Sequence[Cost], further: Columns) -> Table:
    """A row for each cost; ``further`` columns by their names."""
    columns: Columns = {
        "a second": lambda cost: f"{cost.rate:,.0f}",
        "p50, ms": lambda cost: f"{cost.p50_ms:.2f}",
        "p95, ms": lambda cost: f"{cost.p95_ms:.2f}",
        **further,
    }
    table = Table("clients", "route", title=title)
    for name in columns:
        table.add_column(name, justify="right")
    for cost in costs:
        cells = (cell(cost) for cell in columns.values())
        table.add_row(str(cost.clients), cost.route, *cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--api-only", action="store_true", help="behind uvicorn, without Ray")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn of a route")
    parser.add_argument("--deep", type=int, default=1_000_000, help="jobs; 0 leaves that part out")
    parser.add_argument("--json", type=Path, help="also write the results there")
    arguments = parser.parse_args()
    stop_on_signals()
    console = Console()
    results = measure(arguments, console)
    show(results, console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
