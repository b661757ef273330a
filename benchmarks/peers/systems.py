"""What is compared: a name, and a server process that runs for its turn and draws over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from benchmarks.loads import Refused, Server, Wanted
from benchmarks.peers import bentoml_environment
from db.embedded.state import free_port

ROOT = Path(__file__).parents[2]
CORES = os.cpu_count() or 1
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
}
START_S = 180.0
STOP_S = 10.0
ANSWER_S = 600.0


class System(Protocol):
    """Something that draws over HTTP."""

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None:
        """What must be installed first, or None."""

    def running(self) -> AbstractContextManager[Server]:
        """Start it, wait until it takes requests, and stop it afterwards."""


def http_client(**options: Any) -> httpx.Client:
    """A client for any number of threads.

    A connection that was not used for two seconds is left: servers close theirs after five.
    """
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    return httpx.Client(limits=limits, timeout=ANSWER_S, **options)


def checked(answer: httpx.Response) -> httpx.Response:
    """The answer if it is a success.

    Raises:
        Refused: it is none; with its status and text.
    """
    if not answer.is_success:
        raise Refused(f"{answer.status_code}: {answer.text[:200]}")
    return answer


@dataclass(frozen=True)
class Peer:
    """A server with one route, ``POST /draw``, whose answer is the picture.

    ``command`` makes its command line from a port. There is a worker for each core, with one thread
    of torch: threads that wait for one another cost a small model more than they bring, and on a
    busy machine many times as much.
    """

    name: str
    command: Callable[[int], list[str]]
    ready: str = "/health"
    body: Callable[[Wanted], Any] = asdict
    picture: Callable[[httpx.Response], bytes] = lambda answer: answer.content
    package: str = ""

    def missing(self) -> str | None:
        if self.package and find_spec(self.package) is None:
            return f'{self.package}: pip install -c requirements/constraints.txt -e ".[peers]"'
        return None

    @contextmanager
    def running(self, workers: int = CORES) -> Iterator[Server]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with (
            server_process(self.command(port), workers, url + self.ready),
            http_client(base_url=url) as http,
        ):
            yield _Drawing(self, http)


@dataclass(frozen=True)
class _Drawing:
    peer: Peer
    http: httpx.Client

    @property
    def name(self) -> str:
        return self.peer.name

    def draw(self, wanted: Wanted) -> bytes:
        try:
            answer = self.http.post("/draw", json=self.peer.body(wanted))
        except httpx.TransportError as error:
            raise Refused(repr(error)) from error
        return self.peer.picture(checked(answer))


@contextmanager
def server_process(command: list[str], workers: int, ready: str) -> Iterator[None]:
    """Run a server of so many workers until the end of the block; nothing of it is left then.

    ``ready`` is the URL that answers with success once it takes requests.

    Raises:
        RuntimeError: it ended, or was not ready in time; with what it wrote.
    """
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PYTHONPATH": str(ROOT),
        "WEB_CONCURRENCY": str(workers),  # uvicorn reads it, and so do our servers
    }
    with tempfile.TemporaryDirectory(prefix="peer-", dir="/tmp") as folder:
        log = Path(folder, "log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=folder,  # some write files beside themselves
                env=environment,
                start_new_session=True,
                stdout=file,
                stderr=file,
            )
        try:
            _await_ready(process, ready, log)
            yield
        finally:
            _stop(process)


def _await_ready(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(ready, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} is not ready:\n{log.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started, also if it died itself."""
    family = [psutil.Process(process.pid)] if process.poll() is None else []
    family += [child for parent in family for child in parent.children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    _, left = psutil.wait_procs(family, timeout=STOP_S)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    psutil.wait_procs(left, timeout=STOP_S)
    process.wait()


def _module(name: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, "-m", name, str(port)]


def _uvicorn(port: int) -> list[str]:
    app = "benchmarks.peers.fastapi_server:create_app"
    options = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", app, "--factory", "--log-level", "warning", *options]


def _bentoml(port: int) -> list[str]:
    service = "benchmarks.peers.bentoml_server:Pictures"
    options = ["--host", "127.0.0.1", "--port", str(port)]
    python = str(bentoml_environment.PYTHON)
    return [python, "-m", "bentoml", "serve", service, "--working-dir", str(ROOT), *options]


PEERS = (
    Peer("FastAPI with a lock", _uvicorn),
    Peer(
        "LitServe",
        _module("benchmarks.peers.litserve_server"),
        package="litserve",
    ),
    Peer(
        "Ray @serve.batch",
        _module("benchmarks.peers.ray_serve_server"),
        ready="/-/healthz",
    ),
    Peer(
        "BentoML",
        _bentoml,
        ready="/readyz",
        body=lambda wanted: {"wanted": [asdict(wanted)]},
        picture=lambda answer: b64decode(answer.json()[0]),
    ),
)
