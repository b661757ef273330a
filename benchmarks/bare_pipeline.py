"""The diffusers pipeline of a profile as it comes: what a plain server is written around."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.loads import Wanted
from models.diffusion.schedulers import make_scheduler
from models.profiles.load import Capability, Profile
from models.weights.load import load_model


class BarePipeline:
    """A pipeline that is called for one request after the other, or for several at once.

    A call takes a prompt and a seed for each picture, but one number of steps, one guidance and one
    scheduler for all.
    """

    name = "in turn"

    def __init__(self, profile: Profile) -> None:
        self.pipeline: Any = load_model(profile.model(Capability.TEXT_TO_IMAGE))
        self._use = profile.capability_config(Capability.TEXT_TO_IMAGE)
        self._own_scheduler = self.pipeline.scheduler
        self._turn = threading.Lock()

    def draw(self, wanted: Wanted) -> Any:
        """One picture, while every other caller waits."""
        with self._turn:
            return self.together([wanted])[0]

    def draw_all(self, batch: Sequence[Wanted]) -> list[Any]:
        """The pictures of a batch of any mix, in as many calls as it holds kinds of requests."""
        kinds: dict[Any, list[int]] = {}
        for index, wanted in enumerate(batch):
            kind = (wanted.steps, wanted.guidance, wanted.scheduler)
            kinds.setdefault(kind, []).append(index)
        made: dict[int, Any] = {}
        for indices in kinds.values():
            made.update(zip(indices, self.together([batch[i] for i in indices]), strict=True))
        return [made[index] for index in range(len(batch))]

    def together(self, batch: Sequence[Wanted], output: str = "pil") -> Any:
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
