"""The smallest pipeline the engine can seat, for tests of the engine that need many requests.

Its network says which rows it computed together, and fails or dawdles on demand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline

from models.diffusion.batching import Engine
from models.diffusion.batching.call import Call


class ToyNetwork(torch.nn.Module):
    """``batches`` are the first values of the rows of each pass; ``before`` is called with them."""

    device = torch.device("cpu")  # as diffusers' and transformers' networks have it

    def __init__(self, before: Callable[[list[float]], None] = lambda _: None) -> None:
        super().__init__()
        self.before = before
        self.batches: list[list[float]] = []

    def forward(self, sample: torch.Tensor, time: torch.Tensor) -> tuple[torch.Tensor]:
        rows = sample[:, 0].tolist()
        self.batches.append(rows)
        self.before(rows)
        change = torch.tanh(sample[:, 1:] * 1.3 + time.reshape(-1, 1) / 10)
        return (torch.cat([sample[:, :1], change], dim=1),)


class Toy(DiffusionPipeline):
    """``steps`` passes over one row that starts with ``mark`` and keeps it."""

    _optional_components = ("tokenizer",)

    def __init__(self, unet: Any, scheduler: Any, tokenizer: Any = None) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, tokenizer=tokenizer)

    @torch.no_grad()
    def __call__(
        self, mark: float, steps: int, on_step: Callable[[int], None] = lambda _: None
    ) -> list[float]:
        value = torch.tensor([[mark, 0.1, 0.2, 0.3]])
        for step in range(steps):
            value = self.unet(value, torch.tensor(step))[0]
            on_step(step)
        result: list[float] = value[0].tolist()
        return result


def toy(before: Callable[[list[float]], None] = lambda _: None, tokenizer: Any = None) -> Toy:
    return Toy(ToyNetwork(before), DDIMScheduler(), tokenizer)


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for ``true``, which another thread brings about."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.001)


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Keep ``engine`` busy with a call of ours; what comes meanwhile waits."""
    begun, release = threading.Event(), threading.Event()

    def network() -> None:
        begun.set()
        assert release.wait(300)

    ours = Call(network, (), {}, 1, session=None, may_share_batch=False, expects_next_call=False)
    thread = threading.Thread(target=engine.call, args=(ours,))
    thread.start()
    assert begun.wait(120)
    try:
        yield
    finally:
        release.set()
        thread.join(120)
