"""Three ways to serve pictures from one set of weights on one device, behind one method."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import DiffusionRequest
from models.diffusion.schedulers import make_scheduler
from models.profiles.load import Capability, Profile
from models.weights.load import load_model

FIXED_BATCH = 16
FIXED_WAIT_S = 0.02


@dataclass(frozen=True)
class Wanted:
    """One picture."""

    prompt: str
    seed: int
    steps: int
    guidance: float
    scheduler: str = "default"


class Server(Protocol):
    """Draws; may be called from any number of threads."""

    name: str

    def draw(self, wanted: Wanted) -> Any: ...
    def close(self) -> None: ...


class Bare:
    """A diffusers pipeline as it comes, called for one request after the other."""

    name = "in turn"

    def __init__(self, profile: Profile) -> None:
        self.pipeline: Any = load_model(profile.model(Capability.TEXT_TO_IMAGE))
        self._use = profile.capability_config(Capability.TEXT_TO_IMAGE)
        self._own_scheduler = self.pipeline.scheduler
        self._turn = threading.Lock()

    def draw(self, wanted: Wanted) -> Any:
        with self._turn:
            return self.together([wanted])[0]

    def together(self, batch: list[Wanted], output: str = "pil") -> Any:
        """One call of the pipeline for requests of the same steps, guidance and scheduler."""
        first = batch[0]
        self.pipeline.scheduler = make_scheduler(first.scheduler, self._own_scheduler)
        return self.pipeline(
            prompt=[wanted.prompt for wanted in batch],
            generator=[torch.Generator().manual_seed(wanted.seed) for wanted in batch],
            num_inference_steps=first.steps,
            guidance_scale=first.guidance,
            width=self._use.width,
            height=self._use.height,
            output_type=output,
        ).images

    def close(self) -> None:
        pass


class Fixed:
    """What ``@serve.batch`` does: gathers for a moment, computes, then answers all of them.

    A pipeline takes one number of steps, one guidance and one scheduler, so a batch is computed in
    as many calls as it holds kinds of requests.
    """

    name = "fixed batches"

    def __init__(self, profile: Profile) -> None:
        self._bare = Bare(profile)
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
            made: dict[int, Any] = {}
            kinds: dict[Any, list[int]] = {}
            for index, (wanted, _) in enumerate(batch):
                kind = (wanted.steps, wanted.guidance, wanted.scheduler)
                kinds.setdefault(kind, []).append(index)
            for indices in kinds.values():
                images = self._bare.together([batch[index][0] for index in indices])
                made.update(zip(indices, images, strict=True))
            for index, (_, answer) in enumerate(batch):
                answer.set_result(made[index])

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

    name = "engine"

    def __init__(self, profile: Profile) -> None:
        self.pictures = ImagePipeline(profile)
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
