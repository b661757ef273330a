"""LitServe with dynamic batches: ``python -m benchmarks.peers.litserve_server PORT``.

As https://lightning.ai/docs/litserve/features/batching has it: a ``LitAPI`` with ``max_batch_size``
and ``batch_timeout``, whose ``predict`` gets the list of decoded requests. Requests wait in one
queue, from which each worker takes what is there, at most a batch. LitServe does not look into
requests, so a batch may mix anything; a pipeline takes prompts and seeds for each picture, but one
number of steps and one guidance, so the kinds of one batch are drawn in turn.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve as ls
import litserve.server
from fastapi import Response

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from benchmarks.peers.png import png
from models.profiles.load import load_profile

MAX_BATCH = 16
BATCH_TIMEOUT_S = 0.02


class Pictures(ls.LitAPI):
    """One worker's pipeline."""

    def setup(self, device: str) -> None:
        self.pipeline = BarePipeline(load_profile("tiny"))

    def decode_request(self, request) -> Wanted:  # without a type LitServe reads JSON
        return Wanted(**request)

    def predict(self, batch: list[Wanted]) -> list[Any]:
        return self.pipeline.draw_all(batch)

    def encode_response(self, output: Any) -> Response:
        return Response(png(output), media_type="image/png")


def main() -> None:
    port, workers = int(sys.argv[1]), int(os.environ["WEB_CONCURRENCY"])
    api = Pictures(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S, api_path="/draw")
    # LitServe offers tools for agents where `mcp` is installed, and knows its version 1 alone.
    litserve.server._MCP_AVAILABLE = False
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=workers, timeout=False)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
