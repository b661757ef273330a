"""What do idle event streams cost? ``python -m benchmarks.event_streams [--streams 2000]``

The API runs behind uvicorn in a process of its own, over real servers of its own; users of a paid
plan follow jobs that wait, 40 each, through connections on loopback. ``RSS`` is the memory of the
API's process; its CPU is a share of one core while nothing happens; ``POST /v1/jobs`` is timed one
call after the other, without the streams and with them. ``--json FILE`` also writes the results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from statistics import quantiles

import httpx
import psutil
import uvicorn
from rich.console import Console
from rich.table import Table
from sqlalchemy import update

from benchmarks.stores import GENERATOR, INPUT, SECRET, new_users, opened, own_stores
from billing import plans
from db.embedded.state import free_port
from db.settings import StoreSettings
from db.tables import User
from serve_app.api import create_api
from serve_app.auth import refresh
from serve_app.resources import Clients
from serve_app.settings import AuthSettings, LimitSettings, Settings

PLAN = "pro"
JOBS_A_USER = 40
OPENING_AT_A_TIME = 50
IDLE_S = 20.0
SUBMITS = 200
START_S = 120.0
LOGIN_S = 3600
MIB = 1 << 20


@dataclass(frozen=True)
class State:
    """The API's process at one time; the calls in milliseconds, the CPU as a share of a core."""

    rss_mib: float
    idle_cpu: float
    submit_p50_ms: float
    submit_p95_ms: float


@dataclass(frozen=True)
class Results:
    streams: int
    users: int
    without: State
    with_streams: State
    kb_a_stream: float
    opened_in_s: float


@dataclass(frozen=True)
class Customer:
    """Somebody's credentials, and the jobs that they follow."""

    headers: dict[str, str]
    jobs: list[str]


def serve(port: int, stores: StoreSettings) -> None:
    """Run the API at a port of loopback until the process is stopped."""
    most = 10**6
    limits = LimitSettings(RATE_LIMIT_PER_MINUTE=most, MAX_STREAMS=most)
    settings = Settings(stores, AuthSettings(JWT_SECRET=SECRET), limits)
    api = create_api([f"deployments.generators.{GENERATOR}"], settings)
    uvicorn.run(api, port=port, log_level="warning", access_log=False, backlog=4096)


@contextmanager
def api_process(stores: StoreSettings) -> Iterator[tuple[str, psutil.Process]]:
    """The address of the API, and its process."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(port, stores), daemon=True
    )
    process.start()
    assert process.pid is not None
    try:
        yield f"127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.kill()
        process.join()


async def await_start(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                (await http.get("/healthz")).raise_for_status()
                return
            except httpx.TransportError:
                await asyncio.sleep(0.1)


async def make_customers(clients: Clients, http: httpx.AsyncClient, count: int) -> list[Customer]:
    found = []
    for user_id in (await new_users(clients))[:count]:
        async with clients.sessions.begin() as session:
            await session.execute(update(User).where(User.id == user_id).values(plan=PLAN))
            login = await refresh.issue(session, user_id, LOGIN_S)
        access = clients.tokens.sign(user_id, login.family_id)
        customer = Customer({"Authorization": f"Bearer {access}"}, [])
        for _ in range(JOBS_A_USER):
            customer.jobs.append(await submit(http, customer))
        found.append(customer)
    return found


async def submit(http: httpx.AsyncClient, customer: Customer) -> str:
    body = {"generator": GENERATOR, "input": INPUT}
    answer = await http.post("/v1/jobs", json=body, headers=customer.headers)
    answer.raise_for_status()
    return str(answer.json()["id"])


async def follow(address: str, customer: Customer, number: int) -> asyncio.StreamWriter:
    """Open an event stream, and read its first event."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = f"/v1/jobs/{customer.jobs[number % len(customer.jobs)]}/events"
    lines = [f"GET {path} HTTP/1.1", f"Host: {address}"]
    lines += [f"{name}: {value}" for name, value in customer.headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await reader.readuntil(b"event: status")
    return writer


@asynccontextmanager
async def following(address: str, customers: list[Customer], streams: int) -> AsyncIterator[float]:
    """All the streams; the seconds until they were open."""
    gate = asyncio.Semaphore(OPENING_AT_A_TIME)

    async def open_one(number: int) -> asyncio.StreamWriter:
        async with gate:
            customer = customers[number % len(customers)]
            return await follow(address, customer, number // len(customers))

    began = time.perf_counter()
    writers = await asyncio.gather(*(open_one(number) for number in range(streams)))
    try:
        yield time.perf_counter() - began
    finally:
        for writer in writers:
            writer.close()


async def measure(api: psutil.Process, http: httpx.AsyncClient, customer: Customer) -> State:
    times = []
    for _ in range(SUBMITS):
        began = time.perf_counter()
        await submit(http, customer)
        times.append(1000 * (time.perf_counter() - began))
    percentiles = quantiles(times, n=20)
    api.cpu_percent()
    await asyncio.sleep(IDLE_S)
    cpu = api.cpu_percent() / 100
    return State(api.memory_info().rss / MIB, cpu, percentiles[9], percentiles[18])


async def run(stores: StoreSettings, streams: int, console: Console) -> Results:
    a_user = plans.max_streams(PLAN)
    assert a_user is not None
    users = ceil(streams / a_user)
    with api_process(stores) as (address, process):
        async with (
            opened(stores) as clients,
            httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http,
        ):
            await await_start(http)
            customers = await make_customers(clients, http, users + 1)
            asking, followers = customers[0], customers[1:]
            async with following(address, [asking], 1):
                pass  # what the first stream loads is no cost of each
            with console.status("without streams"):
                without = await measure(process, http, asking)
            with console.status(f"with {streams:,} streams"):
                async with following(address, followers, streams) as seconds:
                    with_streams = await measure(process, http, asking)
    kb = (with_streams.rss_mib - without.rss_mib) * MIB / 1000 / streams
    return Results(streams, users, without, with_streams, kb, seconds)


def show(results: Results, console: Console) -> None:
    table = Table("", *(f"{count:,} streams" for count in (0, results.streams)))
    for title, name, form in (
        ("RSS, MiB", "rss_mib", ".1f"),
        ("CPU while idle, of a core", "idle_cpu", ".1%"),
        ("POST /v1/jobs, p50, ms", "submit_p50_ms", ".1f"),
        ("POST /v1/jobs, p95, ms", "submit_p95_ms", ".1f"),
    ):
        values = (getattr(state, name) for state in (results.without, results.with_streams))
        table.add_row(title, *(format(value, form) for value in values))
    console.print(table)
    console.print(
        f"{results.kb_a_stream:.1f} kB a stream; {results.streams:,} of {results.users} users"
        f" were open after {results.opened_in_s:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.event_streams",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="also write the results there")
    options = parser.parse_args()
    console = Console()
    with own_stores() as stores:
        results = asyncio.run(run(stores, options.streams, console))
    show(results, console)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
