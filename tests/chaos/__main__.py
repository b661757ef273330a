"""``python -m tests.chaos --minutes 10 --seed 1``: real servers, real replicas, and no mercy.

Customers submit, repeat and cancel jobs while a seeded schedule kills, pauses, wipes, cuts and
redeploys. Then the load ends, everything comes to rest, and the checker, which
reads only Postgres and the bucket, says whether a job or a credit is not where it belongs.

``--without fencing | outbox | guard`` switches a safeguard off in the processes it starts: then the
checker has to find the damage, and the exit status says that it did.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import psycopg
import urllib3
from minio import Minio
from rich.console import Console
from urllib3.util import Retry

from db.redis.queue import JobQueue
from db.settings import StoreSettings
from deployments.maintenance.clean_storage import sweep_leftovers
from deployments.maintenance.context import MaintenanceContext
from deployments.retry import retry_while_unavailable
from deployments.stores import Stores
from deployments.worker.lease import HEARTBEAT_INTERVAL_S
from tests.chaos.checker import PATIENCE_S, Damage, check, told
from tests.chaos.faults import FAULTS, Target, await_recovery
from tests.chaos.load import Customer, Ledger
from tests.chaos.receiver import Receiver
from tests.chaos.sabotage import SAFEGUARDS
from tests.chaos.stage import deploy, stage
from tests.chaos.works import SERVED, TOYS, names, works

REST_S = 900.0  # at most; on an idle machine it takes some seconds
LATEST = 5.0  # times the minutes that were asked for
CUSTOMERS = 5
UNDONE = (
    "SELECT (SELECT count(*) FROM jobs WHERE finished_at IS NULL)"
    " + (SELECT count(*) FROM outbox WHERE done_at IS NULL)"
)


def is_enough(options: argparse.Namespace, seconds: float, faults: Counter[str], jobs: int) -> bool:
    """Whether the load may end: after its minutes, if as much has happened as was asked for, and
    after ``LATEST`` times as many in any case."""
    happened = (
        jobs >= options.jobs and faults.total() >= options.faults and len(faults) >= options.kinds
    )
    return seconds >= 60 * options.minutes * (1 if happened else LATEST)


def break_things(
    target: Target,
    options: argparse.Namespace,
    enough: Callable[[Counter[str]], bool],
    console: Console,
) -> Counter[str]:
    """Until it is enough: one fault after the other, in the order and the time of the seed."""
    random, done = Random(options.seed), Counter[str]()
    faults = [fault for fault in FAULTS if options.only in (None, fault.name)]
    while True:
        time.sleep(random.expovariate(1 / options.every))
        if enough(done):
            return done
        fault = random.choices(faults, [fault.weight for fault in faults])[0]
        try:
            whom = fault.run(target, random)
        except Exception as error:  # such as a redeploy while the cluster is in pieces
            console.print(f"  {fault.name}: {type(error).__name__}: {error}", style="yellow")
            continue
        if whom is not None:
            done[fault.name] += 1
            console.print(f"  {time.strftime('%H:%M:%S')} {fault.name}: {whom}", highlight=False)


def come_to_rest(database_url: str, seconds: float) -> float:
    """Wait until every job has ended and everybody was told; returns how long that took, at most
    ``seconds``."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            with psycopg.connect(database_url, connect_timeout=3) as connection:
                row = connection.execute(UNDONE).fetchone()
            if row is not None and row[0] == 0:
                break
        except psycopg.Error:
            pass
        time.sleep(0.5)
    return time.monotonic() - began


async def sweep(environment: dict[str, str]) -> int:
    """What the keeper does with leftovers of lost attempts some minutes later."""
    settings = StoreSettings(**{"MONGODB_URL": None, **environment})
    stores = Stores.open(settings)
    queues: dict[str, JobQueue] = {}
    try:
        context = MaintenanceContext(stores, queues)
        once = partial(sweep_leftovers, context, timedelta(0), timedelta(days=1))
        return await retry_while_unavailable("sweep", once, PATIENCE_S)
    finally:
        await stores.close()


@dataclass(frozen=True)
class Report:
    """What happened, and what it broke."""

    jobs: int
    unheard: int
    again: int
    answers: dict[str, int]
    faults: int
    by_fault: dict[str, int]
    rest_s: float
    swept: int
    damage: list[Damage]
    wrong: list[str]

    @property
    def whole(self) -> bool:
        return not self.damage and not self.wrong


def chaos(options: argparse.Namespace, console: Console) -> Report:
    ledger, receiver = Ledger(), Receiver(options.seed)
    modules = [*TOYS] if options.toys else [*SERVED, *TOYS]
    served = names(modules)
    with stage(modules, options.without) as (servers, disk, application):
        environment = dict(application.environment)
        database_url = environment["DATABASE_URL"].replace("+psycopg", "")
        keys = [application.person().headers["X-API-Key"] for _ in range(CUSTOMERS)]
        ended, began = threading.Event(), time.monotonic()
        customers = [
            Customer(
                application.base_url,
                key,
                ledger,
                [work for work in works() if work.generator in served],
                CUSTOMERS / options.rate,
                receiver.url,
                f"{options.seed} {number}",
            )
            for number, key in enumerate(keys)
        ]
        threads = [
            threading.Thread(target=one.live, args=(ended,), daemon=True) for one in customers
        ]
        target = Target(
            servers,
            disk,
            database_url,
            environment["REDIS_URL"],
            environment["RAY_TMPDIR"],
            served,
            lambda number: deploy(application, modules, number),
        )
        for thread in threads:
            thread.start()
        faults = break_things(
            target,
            options,
            lambda done: is_enough(options, time.monotonic() - began, done, len(ledger.accepted)),
            console,
        )
        ended.set()
        for thread in threads:
            thread.join()
        await_recovery(REST_S)
        rest = come_to_rest(database_url, REST_S)
        # A replica that was paused hears by then that its attempt is lost, and stores no more.
        time.sleep(2 * HEARTBEAT_INTERVAL_S)
        with psycopg.connect(database_url) as connection:
            counted = connection.execute("SELECT count(*) FROM jobs WHERE attempt > 1").fetchone()
        again = counted[0] if counted else 0
        if options.logs is not None:
            keep_logs(Path(environment["RAY_TMPDIR"]), options.logs)
        swept = asyncio.run(sweep(environment))
        damage = check(
            database_url,
            bucket_of(environment),
            environment["S3_BUCKET"],
            ledger.accepted,
            receiver.heard,
        )
    receiver.close()
    return Report(
        jobs=len(ledger.accepted),
        unheard=ledger.unheard,
        again=again,
        answers=dict(ledger.answers),
        faults=sum(faults.values()),
        by_fault=dict(faults),
        rest_s=round(rest, 1),
        swept=swept,
        damage=damage,
        wrong=sorted(set(ledger.wrong)),
    )


def bucket_of(environment: dict[str, str]) -> Minio:
    scheme, _, host = environment["S3_ENDPOINT"].partition("://")
    return Minio(
        host,
        access_key=environment["S3_ACCESS_KEY"],
        secret_key=environment["S3_SECRET_KEY"],
        secure=scheme == "https",
        http_client=urllib3.PoolManager(retries=Retry(total=1, status_forcelist=[500, 503])),
    )


def keep_logs(ray_folder: Path, folder: Path) -> None:
    logs = ray_folder / "session_latest" / "logs"
    shutil.copytree(logs, folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)


def show(report: Report, console: Console) -> None:
    console.print(
        f"jobs accepted {report.jobs}, attempted again {report.again},"
        f" given up unheard {report.unheard}"
    )
    console.print(f"answers {report.answers}")
    console.print(f"faults {report.faults}: {report.by_fault}")
    console.print(f"all at rest after {report.rest_s:.0f} s; leftovers swept {report.swept}")
    console.print(told(report.damage), style="red", markup=False, soft_wrap=True)
    for line in report.wrong[:20]:
        console.print(line, style="red", markup=False, soft_wrap=True)
    if report.whole:
        console.print("nothing is broken", style="green")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="jobs a second, all customers")
    parser.add_argument("--every", type=float, default=8.0, help="seconds between two faults")
    parser.add_argument("--jobs", type=int, default=0, help="go on until so many were accepted")
    parser.add_argument("--faults", type=int, default=0, help="go on until there were so many")
    parser.add_argument("--kinds", type=int, default=0, help="go on until so many kinds were")
    parser.add_argument("--only", choices=[fault.name for fault in FAULTS], help="this fault alone")
    parser.add_argument("--toys", action="store_true", help="without the real generators")
    parser.add_argument("--without", choices=SAFEGUARDS, help="switch a safeguard off")
    parser.add_argument("--logs", type=Path, help="keep Ray's logs in this folder")
    parser.add_argument("--json", type=Path, help="write what happened to this file")
    options = parser.parse_args()
    console = Console(file=sys.stdout)
    # Ray tells its driver about every process that died, which is no news here.
    with redirect_stdout(io.StringIO()):
        report = chaos(options, console)
    show(report, console)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(report), indent=1))
    sys.stdout.flush()
    # Ray's client threads can outlive their cluster; nothing is left that they could do.
    os._exit(int(report.whole if options.without else not report.whole))


if __name__ == "__main__":
    main()
