"""Fixed batches and the engine, behind the same method as the bare pipeline."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Any

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from models.diffusion.batching import Engine
from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import DiffusionRequest
from models.profiles.load import Profile

FIXED_BATCH = 16
FIXED_WAIT_S = 0.02


class Fixed:
    """What ``@serve.batch`` does: gathers for a moment, computes, then answers all of them.

    A pipeline takes one number of steps, one guidance and one scheduler, so a batch is computed in
    as many calls as it holds kinds of requests.
    """

    name = "fixed batches"

    def __init__(self, profile: Profile) -> None:
        self._bare = BarePipeline(profile)
        self._waiting: queue.Queue[tuple[Wanted, Future[Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def draw(self, wanted: Wanted) -> Any:
        answer: Future[Any] = Future()
        self._waiting.put((wanted, answer))
        return answer.result()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first, *self._gathered(FIXED_BATCH - 1)]
            made = self._bare.draw_all([wanted for wanted, _ in batch])
            for (_, answer), image in zip(batch, made, strict=True):
                answer.set_result(image)

    def _gathered(self, most: int) -> list[tuple[Wanted, Future[Any]]]:
        found: list[tuple[Wanted, Future[Any]]] = []
        while len(found) < most:
            try:
                item = self._waiting.get(timeout=FIXED_WAIT_S)
            except queue.Empty:
                break
            if item is None:
                self._waiting.put(None)
                break
            found.append(item)
        return found

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()


class OnEngine:
    """Atelier's engine."""

    def __init__(self, profile: Profile, lanes: int, name: str = "engine") -> None:
        self.name = name
        self.pictures = ImagePipeline(profile, engine=Engine(lanes=lanes))
        self.pictures.warm_up()

    def draw(self, wanted: Wanted) -> Any:
        return self.pictures.generate(_request(wanted))[0]

    def exact(self, wanted: Wanted) -> Any:
        """The picture before it is rounded to 8 bits."""
        return self.pictures.generate_arrays(_request(wanted))[0]

    def close(self) -> None:
        self.pictures.close()


def _request(wanted: Wanted) -> DiffusionRequest:
    return DiffusionRequest(
        wanted.prompt,
        wanted.seed,
        steps=wanted.steps,
        guidance=wanted.guidance,
        scheduler=wanted.scheduler,
    )
