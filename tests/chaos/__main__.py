"""``python -m tests.chaos --minutes 10 --seed 1``: real servers, real replicas, and no mercy.

Customers submit, repeat and cancel jobs while a seeded schedule kills, pauses, wipes, cuts and
redeploys. Then the load ends, everything has two minutes to come to rest, and the checker, which
reads only Postgres and the bucket, says whether a job or a credit is not where it belongs.

``--without fencing | outbox | guard`` switches a safeguard off in the processes it starts: then the
checker has to find the damage, and the exit status says that it did.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg
from minio import Minio
from rich.console import Console

from db.embedded.supervisor import EmbeddedServers
from db.queue import JobQueue
from db.settings import StoreSettings
from deployments.keeping.house import House
from deployments.keeping.sweep import sweep_leftovers
from deployments.stores import Stores
from tests.chaos.checker import Damage, check, told
from tests.chaos.faults import FAULTS, Target
from tests.chaos.load import CREDITS, Customer, Ledger
from tests.chaos.receiver import Receiver
from tests.chaos.sabotage import SAFEGUARDS, SITE
from tests.chaos.works import SERVED, TOYS, names, works
from tests.support.application import Application, running

REST_S = 120.0
CUSTOMERS = 5
UNDONE = (
    "SELECT (SELECT count(*) FROM jobs WHERE finished_at IS NULL)"
    " + (SELECT count(*) FROM outbox WHERE done_at IS NULL)"
)
DISK = "1200m"


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a disk of its own: in memory, and for root alone."""
    with tempfile.TemporaryDirectory(prefix="atl-", dir="/tmp") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
        mounted = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        try:
            yield Path(folder), mounted
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def stage(without: str | None) -> Iterator[tuple[EmbeddedServers, Path | None, Application]]:
    """Servers, their disk if it is one that can be filled, and application of our own."""
    with small_disk() as (folder, mounted):
        folder.chmod(0o711)
        servers = EmbeddedServers(folder)
        servers.start()
        servers.watch()
        try:
            environment = {
                **servers.environment(),
                "WELCOME_CREDITS": str(CREDITS),
                "RATE_LIMIT_PER_MINUTE": "100000",
                "ATELIER_TOYS": str(folder / "toys"),
                "ATELIER_FETCH_PRIVATE": "true",  # where the webhooks' receiver is
            }
            if without:
                environment |= {"CHAOS_WITHOUT": without, "PYTHONPATH": str(SITE)}
            with running(environment, deployed=False) as application:
                deploy(application, 0)
                yield servers, folder if mounted else None, application
        finally:
            servers.stop()


def deploy(application: Application, number: int) -> None:
    # An argument that differs makes the replicas be replaced.
    application.redeploy(
        generators=[*SERVED, *TOYS],
        max_replicas=2,
        ingress_replicas=2,
        replica_cpus=0.04 + number / 10_000,
    )


def break_things(
    target: Target, seed: int, every_s: float, stop: threading.Event, console: Console
) -> Counter[str]:
    """Until ``stop``: one fault after the other, in the order and the time that the seed gives."""
    random, done = Random(seed), Counter[str]()
    while not stop.wait(random.expovariate(1 / every_s)):
        fault = random.choices(FAULTS, [fault.weight for fault in FAULTS])[0]
        try:
            whom = fault.run(target, random)
        except Exception as error:  # such as a redeploy while the cluster is in pieces
            console.print(f"  {fault.name}: {type(error).__name__}: {error}", style="yellow")
            continue
        if whom is not None:
            done[fault.name] += 1
            console.print(f"  {time.strftime('%H:%M:%S')} {fault.name}: {whom}", highlight=False)
    return done


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
        return await sweep_leftovers(House(stores, queues), timedelta(0), timedelta(days=1))
    finally:
        await stores.close()


def chaos(options: argparse.Namespace, console: Console) -> tuple[list[Damage], Ledger]:
    ledger, receiver = Ledger(), Receiver(options.seed)
    with stage(options.without) as (servers, disk, application):
        environment = dict(application.environment)
        database_url = environment["DATABASE_URL"].replace("+psycopg", "")
        keys = [application.person() for _ in range(CUSTOMERS)]
        ended, calm = threading.Event(), threading.Event()
        customers = [
            Customer(
                application.base_url,
                client.headers["X-API-Key"],
                ledger,
                works(),
                CUSTOMERS / options.rate,
                receiver.url,
                f"{options.seed} {number}",
            )
            for number, client in enumerate(keys)
        ]
        threads = [threading.Thread(target=one.live, args=(ended,)) for one in customers]
        target = Target(
            servers,
            disk,
            database_url,
            environment["REDIS_URL"],
            environment["RAY_TMPDIR"],
            names(),
            lambda number: deploy(application, number),
        )
        threading.Timer(60 * options.minutes, calm.set).start()
        for thread in threads:
            thread.start()
        faults = break_things(target, options.seed, options.every, calm, console)
        ended.set()
        for thread in threads:
            thread.join()
        rest = come_to_rest(database_url, REST_S)
        if options.logs is not None:
            shutil.copytree(
                Path(environment["RAY_TMPDIR"]) / "session_latest" / "logs",
                options.logs,
                dirs_exist_ok=True,
                ignore_dangling_symlinks=True,
            )
        swept = asyncio.run(sweep(environment))
        bucket = Minio(
            environment["S3_ENDPOINT"].partition("//")[2],
            access_key=environment["S3_ACCESS_KEY"],
            secret_key=environment["S3_SECRET_KEY"],
            secure=environment["S3_ENDPOINT"].startswith("https"),
        )
        damage = check(
            database_url, bucket, environment["S3_BUCKET"], ledger.accepted, receiver.heard
        )
    receiver.close()
    console.print(f"jobs accepted {len(ledger.accepted)}, given up unheard {ledger.unheard}")
    console.print(f"answers {dict(ledger.answers)}")
    console.print(f"faults {sum(faults.values())}: {dict(faults)}")
    console.print(f"all at rest after {rest:.0f} s; leftovers swept {swept}")
    return damage, ledger


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
    parser.add_argument("--logs", type=Path, help="keep Ray's logs in this folder")
    parser.add_argument("--without", choices=SAFEGUARDS, help="switch a safeguard off")
    options = parser.parse_args()
    console = Console(file=sys.stdout)
    # Ray tells its driver about every process that died, which is no news here.
    with redirect_stdout(io.StringIO()):
        damage, ledger = chaos(options, console)
    console.print(told(damage) or "nothing is broken", style="red" if damage else "green")
    for line in sorted(set(ledger.wrong))[:20]:
        console.print(line, style="red", markup=False)
    found = bool(damage or ledger.wrong)
    sys.stdout.flush()
    # Ray's client threads can outlive their cluster; nothing is left that they could do.
    os._exit(int(not found if options.without else found))


if __name__ == "__main__":
    main()
