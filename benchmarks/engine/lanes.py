"""How long a row of the denoiser takes, by lanes at work at once, threads of each, and rows."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import torch

ROWS = (2, 4, 8, 16, 32)
SECONDS = 0.4  # of each measurement
WARM_UPS = 2


@dataclass(frozen=True)
class Passes:
    """``ms_per_row`` is that of the lanes together."""

    lanes: int
    threads: int
    rows: int
    ms_per_row: float


def ways(cores: int) -> list[tuple[int, int]]:
    """Lanes and threads: one core, all cores for one batch, and one batch a core."""
    return sorted({(1, 1), (1, cores), (cores, 1)})


def measure(pipeline: Any, cores: int) -> list[Passes]:
    """Measure every way at every number of rows, for the U-Net of a Stable Diffusion pipeline."""
    return [
        Passes(lanes, threads, rows, _ms_per_row(pipeline, lanes, threads, rows))
        for rows in ROWS
        for lanes, threads in ways(cores)
    ]


def _ms_per_row(pipeline: Any, lanes: int, threads: int, rows: int) -> float:
    unet, config = pipeline.unet, pipeline.unet.config
    words, rates = pipeline.tokenizer.model_max_length, list[float]()
    together = threading.Barrier(lanes)

    def lane() -> None:
        torch.set_num_threads(threads)
        latents = torch.randn(rows, config.in_channels, config.sample_size, config.sample_size)
        text = torch.randn(rows, words, config.cross_attention_dim)
        with torch.inference_mode():
            for _ in range(WARM_UPS):
                unet(latents, torch.tensor(500), encoder_hidden_states=text)
            together.wait()
            started, count = time.perf_counter(), 0
            while time.perf_counter() - started < SECONDS:
                unet(latents, torch.tensor(500), encoder_hidden_states=text)
                count += 1
            rates.append(count * rows / (time.perf_counter() - started))

    at_work = [threading.Thread(target=lane) for _ in range(lanes)]
    for one in at_work:
        one.start()
    for one in at_work:
        one.join()
    return 1000 / sum(rates)
