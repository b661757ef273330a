"""Memory of a device: usage, peak, release, and detection of out-of-memory errors."""

from __future__ import annotations

import ctypes
import errno
import gc
import sys
from dataclasses import dataclass
from pathlib import Path

_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE_BLOCK = 128 * 1024
# Messages of plain RuntimeErrors raised by torch's CPU allocator and by CUDA's libraries.
_OUT_OF_MEMORY_MESSAGES = (
    "not enough memory",
    "can't allocate memory",
    "Cannot allocate memory",  # of a file that could not be mapped
    "out of memory",
    "std::bad_alloc",
    "STATUS_ALLOC_FAILED",
)


@dataclass(frozen=True)
class MemoryUsage:
    """Memory in bytes; on a CPU all values are of the process, and reserved equals allocated."""

    allocated: int
    reserved: int
    peak: int


def memory_usage(device: str) -> MemoryUsage:
    """Return the memory in use on ``device``, and the peak since :func:`reset_peak`."""
    if device != "cpu":
        import torch

        return MemoryUsage(
            torch.cuda.memory_allocated(device),
            torch.cuda.memory_reserved(device),
            torch.cuda.max_memory_allocated(device),
        )
    import psutil

    resident = psutil.Process().memory_info().rss
    return MemoryUsage(resident, resident, max(resident, _peak_resident_bytes() or 0))


def reset_peak(device: str) -> bool:
    """Restart the peak measurement; return False where the system does not permit it."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the resident high water
    except OSError:
        return False
    return True


def release_memory(device: str) -> None:
    """Return unused memory to the device or the operating system."""
    gc.collect()
    if device != "cpu":
        import torch

        torch.cuda.empty_cache()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # glibc; musl keeps less back
            libc.malloc_trim(0)


def return_large_blocks_to_os() -> None:
    """Make glibc return each large block to the system when it is freed.

    By default glibc raises that threshold up to 32 MB and would keep the memory of layers that
    were offloaded to disk.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or what led to it, reports a failed allocation, on a GPU or in RAM.

    Of weights whose file could not be mapped diffusers says only that they could not be loaded; why
    is in the error before (``diffusers.models.model_loading_utils.load_state_dict``).
    """
    found: BaseException | None = error
    while found is not None:
        if _reports_failed_allocation(found):
            return True
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return False


def _reports_failed_allocation(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True  # torch's class, by name because torch is not imported here
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and any(
        message in str(error) for message in _OUT_OF_MEMORY_MESSAGES
    )


def _peak_resident_bytes() -> int | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
