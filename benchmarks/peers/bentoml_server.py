"""BentoML with adaptive batches: ``bentoml serve benchmarks.peers.bentoml_server:Pictures``.

As https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html has it: a ``batchable`` API
takes one list and gives one list; every caller sends a list of one, and BentoML joins what waits.
It learns how long batches take, and waits for more requests only while that pays. Every worker
makes batches of its own. BentoML does not look into requests, so a batch may mix anything; a
pipeline takes prompts and seeds for each picture, but one number of steps and one guidance, so the
kinds of one batch are drawn in turn. A list of pictures has no form in HTTP, so they are sent as
base64.

This file is read by BentoML's own environment (``benchmarks.peers.bentoml_environment``).
"""

from __future__ import annotations

import base64
import os

import bentoml

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from benchmarks.peers.png import png
from models.profiles.load import load_profile

MAX_BATCH = 16
TIMEOUT_S = 600


@bentoml.service(workers=int(os.environ["WEB_CONCURRENCY"]), traffic={"timeout": TIMEOUT_S})
class Pictures:
    """One worker's pipeline."""

    def __init__(self) -> None:
        self.pipeline = BarePipeline(load_profile("tiny"))

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000 * TIMEOUT_S)
    def draw(self, wanted: list[dict]) -> list[str]:
        images = self.pipeline.draw_all([Wanted(**one) for one in wanted])
        return [base64.b64encode(png(image)).decode() for image in images]
