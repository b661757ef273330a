"""Ray Serve with ``@serve.batch``: ``python -m benchmarks.peers.ray_serve_server PORT``.

As https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html has it: an async method
that takes a list and gives a list, called with one request each; ``max_ongoing_requests`` leaves
room for the batch that is drawn and the next one. Every replica makes batches of its own, of what
the router sent there. Serve does not look into requests, so a batch may mix anything; a pipeline
takes prompts and seeds for each picture, but one number of steps and one guidance, so the kinds of
one batch are drawn in turn. Drawing happens in a thread, so that the replica goes on taking
requests. Ray gives each replica as many threads of torch as it has CPUs: one.
"""

# No postponed annotations: Ray sends the class to its replicas by value, and the names that only
# annotations use stay behind.

import asyncio
import os
import signal
import sys

import ray
from fastapi import FastAPI, Response
from ray import serve

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from benchmarks.peers.png import png
from models.profiles.load import load_profile

MAX_BATCH = 16
BATCH_WAIT_S = 0.02
app = FastAPI()


@serve.deployment(max_ongoing_requests=2 * MAX_BATCH, ray_actor_options={"num_cpus": 1})
@serve.ingress(app)
class Pictures:
    """One replica's pipeline."""

    def __init__(self) -> None:
        self.pipeline = BarePipeline(load_profile("tiny"))

    @app.post("/draw", response_class=Response)
    async def draw(self, wanted: Wanted) -> Response:
        return Response(await self.draw_batch(wanted), media_type="image/png")

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_WAIT_S)
    async def draw_batch(self, batch: list[Wanted]) -> list[bytes]:
        return await asyncio.to_thread(self._draw_all, batch)

    def _draw_all(self, batch: list[Wanted]) -> list[bytes]:
        return [png(image) for image in self.pipeline.draw_all(batch)]


def main() -> None:
    port, workers = int(sys.argv[1]), int(os.environ["WEB_CONCURRENCY"])
    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Pictures.options(num_replicas=workers).bind(), name="pictures")
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
