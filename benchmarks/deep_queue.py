"""Does a long queue cost more? ``python -m benchmarks.deep_queue [--deep 100000] [--json FILE]``

Submit, claim, a job's place in the queue, and a page of a user's jobs, over real servers of its
own: with 100 jobs waiting and with ``--deep``, of a hundred users. The one who asks has jobs of
their own among them, a hundredth of all. Every figure is the median of ``--rounds`` calls one after
the other, in milliseconds; ``ratio`` is deep over shallow. ``bytes a job`` is what Valkey takes for
each waiting job.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from sqlalchemy import func, insert, select, text

from benchmarks.stores import GENERATOR, INPUT, USERS, new_users, opened, own_stores
from billing import concurrency, fair_share, plans
from db.ids import new_id
from db.jobs import queries
from db.jobs.queries import JobFilter
from db.redis.queue_worker import make_worker
from db.settings import StoreSettings
from db.tables import Job
from serve_app.auth.identity import Identity
from serve_app.jobs.schemas import SubmitBody
from serve_app.jobs.submit import submit
from serve_app.resources import Clients

SHALLOW = 100
PAGE = 5000
COST = fair_share.cost(1, plans.DEFAULT, "normal")
PUSHES = 50  # at a time, fewer than the client has connections


@dataclass(frozen=True)
class Costs:
    """Milliseconds."""

    submit: float
    claim: float
    position: float
    page: float


@dataclass(frozen=True)
class Results:
    deep: int
    shallow_ms: Costs
    deep_ms: Costs
    ratio: Costs
    bytes_a_job: float


async def fill(clients: Clients, owners: list[str], depth: int) -> None:
    """Waiting jobs and their messages, until there are ``depth``, in turn of each owner."""
    async with clients.sessions() as session:
        there = await session.scalar(select(func.count()).where(Job.status == "queued")) or 0
    queue = clients.queues[GENERATOR]
    for start in range(there, depth, PAGE):
        rows = [
            {
                "id": new_id("job"),
                "user_id": owners[number % USERS],
                "generator": GENERATOR,
                "status": "queued",
                "input": INPUT,
                "seed": number,
                "queue_tag": (number // USERS + 1) * COST,
                "queue_cost": COST,
                "credits_quoted": 1,
                "credits_held": 1,
                "price_version": "bench",
            }
            for number in range(start, min(start + PAGE, depth))
        ]
        async with clients.sessions.begin() as session:
            await session.execute(insert(Job), rows)
        for first in range(0, len(rows), PUSHES):
            await asyncio.gather(
                *(
                    queue.push(str(row["id"]), 1, int(str(row["queue_tag"])))
                    for row in rows[first : first + PUSHES]
                )
            )
    async with clients.sessions.begin() as session:
        await session.execute(text("ANALYZE jobs"))


async def timed(rounds: int, call: Callable[[], Awaitable[object]]) -> float:
    """The median of ``rounds`` calls, in milliseconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await call()
        took.append(1000 * (time.perf_counter() - began))
    return median(took)


async def measure(clients: Clients, owner: str, rounds: int, redis_url: str) -> Costs:
    identity = Identity(owner, "user", "free", frozenset({"jobs:write", "jobs:read"}))
    body = SubmitBody(generator=GENERATOR, input=INPUT)
    mine: list[str] = []

    async def one_more() -> None:
        mine.append((await submit(clients, identity, body, None, "bench")).job.id)

    async def place() -> None:
        assert await clients.queues[GENERATOR].position(mine[-1], 1) is not None

    async def list_mine() -> None:
        async with clients.sessions() as session:
            assert await queries.page(session, owner, JobFilter(), None, 20)

    await timed(rounds // 4 + 1, one_more)  # connections are opened, statements prepared
    return Costs(
        submit=await timed(rounds, one_more),
        position=await timed(rounds, place),
        page=await timed(rounds, list_mine),
        claim=await claims(clients, rounds, redis_url),
    )


async def claims(clients: Clients, rounds: int, redis_url: str) -> float:
    """From one message taken and its row claimed to the next, one at a time."""
    marks: list[float] = []
    taken: list[bool] = []
    enough = asyncio.Event()

    async def process(job_id: str, attempt: int) -> None:
        async with clients.sessions.begin() as session:
            taken.append(
                await concurrency.claim_or_defer(session, job_id, attempt, "bench") is not None
            )
        marks.append(1000 * time.perf_counter())
        if len(marks) > rounds:
            enough.set()

    worker = make_worker(redis_url, GENERATOR, process)
    running = asyncio.create_task(worker.run())
    await enough.wait()
    await worker.drain()
    await running
    assert all(taken), "a job that is deferred was not claimed"
    return median(later - one for one, later in pairwise(marks))


async def valkey_bytes(clients: Clients) -> int:
    return int((await clients.redis.info("memory"))["used_memory"])


async def run(stores: StoreSettings, deep: int, rounds: int, console: Console) -> Results:
    redis_url = stores.redis_url.get_secret_value()
    async with opened(stores) as clients:
        owners = await new_users(clients)
        with console.status(f"{SHALLOW} jobs waiting"):
            await fill(clients, owners, SHALLOW)
            shallow = await measure(clients, owners[0], rounds, redis_url)
            before = await valkey_bytes(clients)
        with console.status(f"{deep:,} jobs waiting"):
            async with clients.sessions() as session:
                there = await session.scalar(select(func.count()).where(Job.status == "queued"))
            await fill(clients, owners, deep)
            taken = (await valkey_bytes(clients) - before) / (deep - (there or 0))
            deeper = await measure(clients, owners[0], rounds, redis_url)
    ratio = Costs(*(b / a for a, b in zip(_all(shallow), _all(deeper), strict=True)))
    return Results(deep, shallow, deeper, ratio, taken)


def _all(costs: Costs) -> tuple[float, float, float, float]:
    return costs.submit, costs.claim, costs.position, costs.page


def show(results: Results, console: Console) -> None:
    table = Table("", caption=f"{results.bytes_a_job:,.0f} bytes a waiting job in Valkey")
    for name in (f"{SHALLOW} waiting, ms", f"{results.deep:,} waiting, ms", "ratio"):
        table.add_column(name, justify="right")
    for name in ("submit", "claim", "position", "page"):
        found = (getattr(part, name) for part in (results.shallow_ms, results.deep_ms))
        table.add_row(name, *(f"{ms:.2f}" for ms in found), f"{getattr(results.ratio, name):.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deep_queue",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--deep", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the results there")
    options = parser.parse_args()
    console = Console()
    with own_stores() as stores:
        results = asyncio.run(run(stores, options.deep, options.rounds, console))
    show(results, console)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=2) + "\n")


if __name__ == "__main__":
    main()
