"""An application that only answers ``/healthz``, served by Ray Serve or by uvicorn alone.

``python -m benchmarks.ingress.bare ray PORT``, or ``uvicorn PORT``. What the service's own route
that does nothing costs beside these is what the service adds to every call: its proxy, limits,
request ids, the log and metrics.
"""

# No postponed annotations: Ray sends the class to its replica by value.

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import uvicorn
from fastapi import FastAPI
from ray import serve

from benchmarks.peers.systems import server_process
from db.embedded.state import free_port

SERVERS = ("ray", "uvicorn")
app = FastAPI()


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 1})
@serve.ingress(app)
class Nothing:
    """One replica, as the service has one ingress."""


@contextmanager
def bare_server(name: str) -> Iterator[tuple[str, int]]:
    """Run one of ``SERVERS`` in a process of its own; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.ingress.bare", name, str(port)]
    with server_process(command, 1, f"http://127.0.0.1:{port}/healthz"):
        yield "127.0.0.1", port


def _serve_by_ray(port: int) -> None:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Nothing.bind(), name="nothing")
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    serve.shutdown()
    ray.shutdown()


def main() -> None:
    name, port = sys.argv[1], int(sys.argv[2])
    if name == "ray":
        _serve_by_ray(port)
    else:
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
