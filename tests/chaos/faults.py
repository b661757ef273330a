"""What is broken: processes killed and paused, data wiped, connections cut, the code redeployed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import psutil
import psycopg
import redis

from db.embedded.supervisor import EmbeddedServers

# Names of threads: what a fault has begun is over when they are.
REDEPLOYING = "redeploying"
RECOVERING = "recovering"


@dataclass(frozen=True)
class Target:
    """What faults work on. ``redeploy`` is told a number that differs each time."""

    servers: EmbeddedServers
    disk: Path | None  # what the stores write to, if it is a small one of their own
    database_url: str
    redis_url: str
    ray_folder: str
    generators: tuple[str, ...]
    redeploy: Callable[[int], None]


@dataclass(frozen=True)
class Fault:
    """``run`` does it and says to whom; None if there was nobody to do it to."""

    name: str
    weight: float
    run: Callable[[Target, Random], str | None]


def replica_of(target: Target, names: tuple[str, ...], random: Random) -> psutil.Process | None:
    """A process that is a replica of one of ``names``."""
    return _titled(target, tuple(f"ray::ServeReplica:atelier:{name}" for name in names), random)


def _titled(target: Target, titles: tuple[str, ...], random: Random) -> psutil.Process | None:
    """A process of this Ray whose command line begins with one of ``titles``."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        line, environment = process.info["cmdline"] or [""], process.info["environ"] or {}
        if line[0].startswith(titles) and environment.get("RAY_TMPDIR") == target.ray_folder:
            found.append(process)
    found.sort(key=lambda process: process.pid)
    return random.choice(found) if found else None


def _signal(process: psutil.Process | None, what: signal.Signals) -> str | None:
    if process is None:
        return None
    try:
        name = process.cmdline()[0]
        process.send_signal(what)
    except (psutil.Error, IndexError):
        return None
    return name


def kill_replica(target: Target, random: Random) -> str | None:
    return _signal(replica_of(target, target.generators, random), signal.SIGKILL)


def pause_replica(target: Target, random: Random) -> str | None:
    """Every other time for longer than a lease, and shorter than Serve bears it: a zombie wakes."""
    seconds = random.choice([random.uniform(2, 15), random.uniform(21, 28)])
    return _pause(replica_of(target, target.generators, random), seconds)


def kill_manager(target: Target, random: Random) -> str | None:
    return _signal(replica_of(target, ("gpu_manager",), random), signal.SIGKILL)


def pause_manager(target: Target, random: Random) -> str | None:
    return _pause(replica_of(target, ("gpu_manager",), random), random.uniform(2, 28))


def kill_ingress(target: Target, random: Random) -> str | None:
    return _signal(replica_of(target, ("ingress",), random), signal.SIGKILL)


def kill_keeper(target: Target, random: Random) -> str | None:
    return _signal(replica_of(target, ("keeper",), random), signal.SIGKILL)


def kill_ray(target: Target, random: Random) -> str | None:
    """One of those that Serve itself is made of."""
    titles = ("ray::ServeController", "ray::ProxyActor", "ray::HAProxyManager")
    return _signal(_titled(target, titles, random), signal.SIGKILL)


def kill_store(target: Target, random: Random) -> str | None:
    name, pid = random.choice(sorted(target.servers.pids().items()))
    os.kill(pid, signal.SIGKILL)
    return name


def pause_store(target: Target, random: Random) -> str | None:
    name, pid = random.choice(sorted(target.servers.pids().items()))
    try:
        _pause(psutil.Process(pid), random.uniform(1, 8))
    except psutil.Error:
        return None
    return name


def wipe_valkey(target: Target, random: Random) -> str | None:
    try:
        with redis.Redis.from_url(target.redis_url, socket_timeout=3) as client:
            client.flushall()
    except redis.RedisError:
        return None
    return "valkey"


def cut_connections(target: Target, random: Random) -> str | None:
    try:
        with psycopg.connect(target.database_url, connect_timeout=3, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        with redis.Redis.from_url(target.redis_url, socket_timeout=3) as client:
            client.client_kill_filter(_type="normal", skipme=True)
    except (psycopg.Error, redis.RedisError):
        return None
    return "postgres and valkey"


def fill_disk(target: Target, random: Random) -> str | None:
    """No byte more can be written by any store, for some seconds."""
    if target.disk is None:
        return None
    ballast, seconds = target.disk / "ballast", random.uniform(2, 10)
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    _recover(seconds, partial(ballast.unlink, missing_ok=True))
    return f"for {seconds:.0f} s"


def redeploy(target: Target, random: Random) -> str | None:
    """While it goes on, and it may fail for that, other faults come."""
    number = random.randrange(1, 100)
    if any(thread.name == REDEPLOYING for thread in threading.enumerate()):
        return None

    def deploy() -> None:
        with contextlib.suppress(Exception):  # such as a cluster that is in pieces just then
            target.redeploy(number)

    threading.Thread(target=deploy, name=REDEPLOYING, daemon=True).start()
    return "the application"


def _pause(process: psutil.Process | None, seconds: float) -> str | None:
    name = _signal(process, signal.SIGSTOP)
    if process is not None and name is not None:
        _recover(seconds, partial(_signal, process, signal.SIGCONT))
    return name and f"{name} for {seconds:.0f} s"


def _recover(seconds: float, what: Callable[[], object]) -> None:
    again = threading.Timer(seconds, what)
    again.name, again.daemon = RECOVERING, True
    again.start()


def await_recovery(seconds: float) -> None:
    """Wait, ``seconds`` at most, until whatever was paused goes on, the disk has room again and no
    redeploy runs."""
    until = time.monotonic() + seconds
    for thread in threading.enumerate():
        if thread.name in (REDEPLOYING, RECOVERING):
            thread.join(max(0.0, until - time.monotonic()))


FAULTS = (
    Fault("kill replica", 5, kill_replica),
    Fault("pause replica", 3, pause_replica),
    Fault("kill manager", 2, kill_manager),
    Fault("pause manager", 1, pause_manager),
    Fault("kill ingress", 1.5, kill_ingress),
    Fault("kill keeper", 1.5, kill_keeper),
    Fault("kill ray", 1, kill_ray),
    Fault("kill store", 3, kill_store),
    Fault("pause store", 1.5, pause_store),
    Fault("wipe valkey", 2, wipe_valkey),
    Fault("cut connections", 2, cut_connections),
    Fault("fill disk", 1.5, fill_disk),
    Fault("redeploy", 0.7, redeploy),
)
