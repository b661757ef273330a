"""Set up the allocators of a replica, so that memory freed by one job serves the next; and how
CUDA numbers its cards."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

MAX_ARENAS = 2
KEPT_BYTES = 128 << 20
LARGEST_KEPT_BLOCK = 32 << 20  # the most that glibc takes from an arena
# Of glibc's malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def limit_arenas() -> None:
    """Make all threads of this process share two arenas. Call it before they start.

    glibc gives every thread an arena of its own, up to eight a core, and memory freed in one arena
    does not serve another: the memory of a replica that renders films grew by a fifth over a
    hundred jobs, and stays flat with two arenas. Without glibc the call does nothing.
    """
    _mallopt(_M_ARENA_MAX, MAX_ARENAS)


def keep_freed_memory() -> None:
    """Keep up to ``KEPT_BYTES`` of freed memory for the next allocation.

    Each operation of a network frees what the one before made. glibc gives large blocks back to the
    system, which then hands them out page by page again: a fifth of the time of a batch of sixteen.
    Whoever unloads a model returns it all the same (``models.memory.usage.release_memory``).
    Without glibc the call does nothing.
    """
    _mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK)
    _mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def _mallopt(parameter: int, value: int) -> None:
    # Elsewhere there is no such function.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)


def expand_cuda_segments() -> None:
    """Let PyTorch grow its segments of a GPU's memory. Call it before torch is imported.

    Pictures of many sizes break segments of fixed size into gaps that no later tensor fits.
    ``PYTORCH_ALLOC_CONF`` of the environment takes precedence.
    """
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


def number_cards_as_the_driver_does() -> None:
    """Let CUDA give cards the numbers that Ray and NVML give them. Call it before CUDA starts.

    By default CUDA's first card is the fastest one, so that on a machine with unlike cards
    ``CUDA_VISIBLE_DEVICES`` would mean another card than the one that Ray chose.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
