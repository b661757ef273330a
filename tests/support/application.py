"""The whole application on one in-process Ray, over stores of its own on the tests' servers.

Of its own, because its keeper never rests: it would deliver and recover other tests' rows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
from psycopg.rows import dict_row

from db.migrate import upgrade
from scripts.dev import cluster
from scripts.dev.environment import atelier_environment, ray_environment
from scripts.dev.ports import PortClaims
from tests.support import growing_cluster
from tests.support.metadata import metadata_service
from tests.support.waiting import eventually

HANG_S = 240.0  # deadlines only end a hang
GENERATORS = ["deployments.generators.image", "tests.support.scribe"]
PASSWORD = "correct horse battery"
_numbers = count(1)  # of the applications that this process has started
SECRET = "a secret of the tests, long enough for one"


@dataclass(frozen=True)
class Application:
    """Where it answers, and the environment its replicas have."""

    base_url: str
    environment: Mapping[str, str]

    def redeploy(self, **changed: Any) -> None:
        """Deploy it again with other arguments, as ops would with a changed config file.

        With another argument Serve replaces every replica, which takes a busy machine half a
        minute; with other ``deployments`` those of the deployments that they name.
        """
        port = int(self.base_url.rpartition(":")[2])
        usual = {"generators": GENERATORS, "min_replicas": 1, "replica_cpus": 0.3}
        cluster.deploy(port, **{**usual, **changed})

    def row(self, job_id: str) -> dict[str, Any]:
        """What Postgres has of a job."""
        plain = self.environment["DATABASE_URL"].replace("+psycopg", "")
        with psycopg.connect(plain, row_factory=dict_row) as connection:
            found = connection.execute("SELECT * FROM jobs WHERE id = %s", [job_id]).fetchone()
        assert found is not None
        return found

    def person(self) -> httpx.Client:
        """A client that registered and made a key."""
        email = f"p{time.time_ns()}@example.com"
        with httpx.Client(base_url=self.base_url, timeout=120) as http:
            account = {"email": email, "password": PASSWORD}
            post(http, "/v1/auth/register", json=account).raise_for_status()
            login = {"username": email, "password": PASSWORD}
            token = post(http, "/v1/auth/token", data=login).json()["access_token"]
            made = post(
                http,
                "/v1/api-keys",
                json={
                    "name": "test",
                    "scopes": ["jobs:read", "jobs:write", "billing", "files"],
                },
                headers={"Authorization": f"Bearer {token}"},
            )
        headers = {"X-API-Key": made.json()["key"]}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=120)


@contextmanager
def running(
    stores: Mapping[str, str],
    num_gpus: int | None = None,
    *,
    deployed: bool = True,
    grows_to: Mapping[str, int] | None = None,
) -> Iterator[Application]:
    """The application, deployed; nothing of it is left afterwards.

    ``num_gpus`` are logical ones. Not ``deployed``: whoever asked does it, in a way of its own.
    ``grows_to``: how many nodes of which groups of ``cluster.yaml`` Ray's autoscaler may start.
    """
    folder = Path(tempfile.mkdtemp(prefix="atl-ray-", dir="/tmp"))
    claims = PortClaims()
    environment = {
        # All tests come from one address, and some need more than a day's welcome credits.
        "REGISTRATIONS_PER_ADDRESS": "100000",
        "WELCOME_CREDITS_PER_DAY": str(10**15),
        **own_stores(stores),
        **ray_environment(folder, claims),
        **atelier_environment(cluster.ROOT, SECRET, "tiny", stores),
    }
    before = dict(os.environ)
    os.environ.update(environment)
    upgrade(environment["DATABASE_URL"])
    try:
        if grows_to is None:
            # Nobody looks at it, and its dozen processes take as long to start as a replica.
            cluster.start_ray(folder, folder, num_gpus, dashboard=False)
        else:
            _start_growing_ray(folder, grows_to)
        application = Application(f"http://127.0.0.1:{claims.free_port()}", environment)
        if deployed:
            application.redeploy()
        yield application
    finally:
        cluster.stop_ray()
        cluster.sweep_leftovers(folder)
        os.environ.clear()
        os.environ.update(before)
        claims.release()
        shutil.rmtree(folder, ignore_errors=True)


def _start_growing_ray(folder: Path, grows_to: Mapping[str, int]) -> None:
    import ray
    from ray._private.authentication import authentication_token_setup as authentication

    cluster.require_token(folder)
    authentication.enable_token_auth_by_default()  # of this process; ray.init("local") does it too
    address = growing_cluster.start_ray(folder, growing_cluster.node_types(grows_to))
    ray.init(address, log_to_driver=False, configure_logging=False)


def own_stores(stores: Mapping[str, str]) -> dict[str, str]:
    """Another database, without tables, another number in Redis and another bucket on the same
    servers."""
    plain = stores["DATABASE_URL"].replace("+psycopg", "")
    number = next(_numbers)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE application_{number}")
    database = stores["DATABASE_URL"].rpartition("/")[0] + f"/application_{number}"
    return {
        **stores,
        "DATABASE_URL": database,
        "REDIS_URL": stores["REDIS_URL"].rpartition("/")[0] + f"/{number}",
        "S3_BUCKET": f"application-{number}",
    }


@dataclass(frozen=True)
class Node:
    """A further node of the cluster, on this machine: its id, and its raylet."""

    id: str
    raylet: psutil.Process


@contextmanager
def further_node(num_gpus: int) -> Iterator[Node]:
    """Another node beside the one that ``running`` started, with logical GPUs of its own.

    A start that fails is tried once more, with other ports, as that of the head is.
    """
    import ray

    there = {node["NodeID"] for node in ray.nodes()}
    started = _start_node(num_gpus)
    try:
        if (new := _joined(started, there)) is None:
            _end_family(started)
            there = {node["NodeID"] for node in ray.nodes()}
            started = _start_node(num_gpus)
            new = _joined(started, there)
        assert new is not None, "the node did not start"
        (raylet,) = [one for one in started.children() if one.name() == "raylet"]
        yield Node(new, raylet)
    finally:
        _end_family(started)


def _start_node(num_gpus: int) -> psutil.Popen:
    import ray

    address = ray.get_runtime_context().gcs_address
    command = f"start --address={address} --node-ip-address=127.0.0.1 --block --num-cpus=1"
    limits = (f"--num-gpus={num_gpus}", f"--object-store-memory={cluster.OBJECT_STORE_BYTES}")
    return psutil.Popen(
        [
            str(Path(sys.executable).parent / "ray"),
            *command.split(),
            *limits,
            *growing_cluster.node_options(),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _joined(started: psutil.Popen, there: set[str]) -> str | None:
    """The id of the node that came to those that are ``there``; None if its process ended, or after
    ``HANG_S``."""
    import ray

    until = time.monotonic() + HANG_S
    while started.poll() is None and time.monotonic() < until:
        for node in ray.nodes():
            if node["Alive"] and node["NodeID"] not in there:
                return str(node["NodeID"])
        time.sleep(0.1)
    return None


def _end_family(started: psutil.Popen) -> None:
    """End a process and all that it started."""
    family = [*started.children(recursive=True), started] if started.poll() is None else [started]
    for process in family:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    for process in alive:
        process.kill()


def reclaim(node_id: str, within: float) -> None:
    """The cloud tells the node's machine that it takes it away; what listens there tells Ray."""
    import ray

    address = ray.get_runtime_context().gcs_address
    with metadata_service() as service:
        service.takes_in = within
        where = [f"--metadata={service.url}", f"--node-id={node_id}", f"--address={address}"]
        subprocess.run(
            [sys.executable, "-m", "scripts.spot_notice", "ec2", *where],
            check=True,
            capture_output=True,
        )


def replica_pids(deployment: str) -> list[int]:
    """The processes that run the deployment's replicas, of this cluster and no other."""
    return pids(f"ray::ServeReplica:atelier:{deployment}")


def replicas_below(pid: int) -> set[int]:
    """The processes of replicas that descend from this one."""
    family = psutil.Process(pid).children(recursive=True)
    return {one.pid for one in family if "".join(one.cmdline()).startswith("ray::ServeReplica")}


def listening_ports(pid: int) -> list[int]:
    """The TCP ports at which the process takes connections."""
    return [
        connection.laddr.port
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


def pids(title: str) -> list[int]:
    """The processes of this cluster whose title begins like this."""
    return [
        int(process.pid)
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(title) for word in process.info["cmdline"] or []) and _ours(process)
    ]


def _ours(process: psutil.Process) -> bool:
    """Ray's processes write their titles over their environment; that of their raylet says whose
    they are."""
    try:
        raylet = process.parent()
        return raylet is not None and any(os.environ["RAY_TMPDIR"] in w for w in raylet.cmdline())
    except psutil.Error:
        return False


def replica_pid(generator: str) -> int:
    """The process that runs the generator's replica."""
    found = replica_pids(generator)
    if not found:
        raise LookupError(generator)
    return found[0]


def once_drained(generator: str, change: Callable[[], object], go: Path, replicas: int = 1) -> None:
    """Make ``change``, and the file ``go`` once ``replicas`` of the generator take no more jobs."""
    before = _drains(generator)
    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(change)
        try:
            eventually(lambda: _drains(generator) >= before + replicas, HANG_S)
        finally:
            go.touch()
            changed.result()


def _drains(generator: str) -> int:
    """How many replicas of the generator have said that they take no more jobs."""
    logs = Path(os.environ["RAY_TMPDIR"], "session_latest", "logs")
    said = '"event": "queue_worker_drains"', f'"generator": "{generator}"'
    text = "".join(read_log(file) for file in logs.glob("worker-*.err"))
    return sum(all(words in line for words in said) for line in text.splitlines())


def read_log(path: Path) -> str:
    """A log of Ray's; nothing of one that Ray has just given another name."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def post(client: httpx.Client, path: str, **given: Any) -> httpx.Response:
    """The answer, asked for again while the service is too busy for one."""
    until = time.monotonic() + HANG_S
    while (answer := client.post(path, **given)).status_code == 503 and time.monotonic() < until:
        time.sleep(0.5)
    return answer


def submit(client: httpx.Client, generator: str, **given: Any) -> str:
    job = {"generator": generator, "input": given}
    answer = post(client, "/v1/jobs", json=job, headers={"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait(
    client: httpx.Client, job_id: str, status: str | None = None, seconds: float = HANG_S
) -> Any:
    """The job once it is final, or has ``status``."""
    wanted = (status,) if status else ("succeeded", "failed", "canceled")

    def look() -> Any:
        job = client.get(f"/v1/jobs/{job_id}", params={"wait": 0 if status else 10}).json()
        return job if job["status"] in wanted else None

    return eventually(look, seconds)


def progress(client: httpx.Client, job_id: str) -> float:
    """Of the job, 0 to 1; 0 also where the service is too busy to say."""
    return float(client.get(f"/v1/jobs/{job_id}").json().get("progress", 0))


def metadata(client: httpx.Client, job_id: str) -> Any:
    """What was noted of a job that ended; it is written down a moment after the end."""
    url = f"/v1/jobs/{job_id}/metadata"
    return eventually(lambda: client.get(url).json().get("metadata") or None, HANG_S)
