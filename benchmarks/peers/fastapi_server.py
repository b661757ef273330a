"""Plain FastAPI: one pipeline behind a lock, in each of uvicorn's workers.

What most tutorials show. A route that is no coroutine runs in a thread of FastAPI's own pool (40 of
them), so requests are taken while a picture is drawn; a diffusers pipeline is not safe to call from
two threads, so the lock lets one in at a time. Nothing is batched: every request may differ from
every other in anything.
"""

from __future__ import annotations

from fastapi import FastAPI, Response

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from benchmarks.peers.png import png
from models.profiles.load import load_profile


def create_app() -> FastAPI:
    """The application; started by ``uvicorn --factory``."""
    app = FastAPI()
    pipeline = BarePipeline(load_profile("tiny"))

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/draw", response_class=Response)
    def draw(wanted: Wanted) -> Response:
        return Response(png(pipeline.draw(wanted)), media_type="image/png")

    return app
