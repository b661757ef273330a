"""What NVIDIA's driver says of a card: its use, heat and memory, of all programs together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from models.schemas.memory import CardStats

T = TypeVar("T")

log = logging.getLogger(__name__)


def card_stats(device: str) -> CardStats | None:
    """Ask the driver about the card ``device``; None on a CPU.

    What the driver does not tell is None, never 0: not every card knows its temperature, and
    without the package ``nvidia-ml-py`` PyTorch asks for nothing but the memory.
    """
    if device == "cpu":
        return None
    import torch

    cuda = torch.cuda
    percent = _told(lambda: cuda.utilization(device))
    free, total = _told(lambda: cuda.mem_get_info(device)) or (None, None)
    return CardStats(
        utilization=None if percent is None else percent / 100,
        temperature_celsius=_told(lambda: cuda.temperature(device)),
        used=None if free is None or total is None else total - free,
        total=total,
    )


def _told(ask: Callable[[], T]) -> T | None:
    """The answer; None if there is none, for whatever reason: it decides on nothing."""
    try:
        return ask()
    except Exception as error:
        log.debug("the card does not tell: %s", error)
        return None
