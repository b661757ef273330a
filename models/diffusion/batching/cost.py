"""Measure how many rows in one forward pass are worth batching on this machine.

A small UNet does not fill a CPU or a large GPU, so eight rows cost little more than one. A
transformer at 1024 pixels fills the GPU with one row, and a second row only delays both.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from models.diffusion.batching.call import Call, join_calls
from models.memory.usage import is_out_of_memory

MAX_ROWS = 64
# Doubling the rows must cut the time a row by this fraction, or it only adds waiting.
MIN_GAIN = 0.04
_TRIES = 3
_MAX_MEASURE_S = 2.0  # a pass that takes so long is not repeated at twice the rows


@dataclass(frozen=True)
class BatchCost:
    """Measured milliseconds a row by batch size, and the batch size with the best throughput."""

    ms_per_row: dict[int, float]
    best_rows: int


def measure_batch_cost(call: Call, max_rows: int = MAX_ROWS) -> BatchCost:
    """Time ``call``'s network at 1, 2, 4, ... times its rows until throughput stops improving.

    Running out of memory ends the search at the last size that fitted.
    """
    ms_per_row: dict[int, float] = {}
    best, copies = call.rows, 1
    while copies * call.rows <= max(max_rows, call.rows):
        rows = copies * call.rows
        try:
            ms_per_row[rows] = 1000 * _seconds(call, copies) / rows
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        if ms_per_row[rows] > (1 - MIN_GAIN) * ms_per_row[best] and rows != best:
            # Noise or a bad shape can spoil one size, so only two in a row end the search.
            if rows >= 4 * best:
                break
        else:
            best = rows
        if ms_per_row[rows] * rows > 1000 * _MAX_MEASURE_S:
            break
        copies *= 2
    return BatchCost(ms_per_row, best)


def _seconds(call: Call, copies: int) -> float:
    arguments, options = join_calls([call] * copies)
    device = device_of(arguments, options)
    times = []
    for _ in range(_TRIES):
        _synchronize(device)
        started = time.perf_counter()
        call.network(*arguments, **options)
        _synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def device_of(arguments: tuple[Any, ...], options: dict[str, Any]) -> torch.device:
    """Return the device of a call's first tensor; the CPU if it has none."""
    tensors = [value for value in (*arguments, *options.values()) if torch.is_tensor(value)]
    return tensors[0].device if tensors else torch.device("cpu")


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
