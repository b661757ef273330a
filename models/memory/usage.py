"""What the memory of a device is doing: used, peak, set free, run out."""

from __future__ import annotations

import ctypes
import errno
import gc
import sys
from dataclasses import dataclass
from pathlib import Path

_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE_BLOCK = 128 * 1024
# What torch says in a plain RuntimeError: its CPU allocator, and CUDA's libraries.
_OUT_OF_MEMORY_MESSAGES = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "std::bad_alloc",
    "STATUS_ALLOC_FAILED",
)


@dataclass(frozen=True)
class MemoryUsage:
    """Bytes. On a CPU all three are of the whole process, and nothing is reserved apart."""

    allocated: int
    reserved: int
    peak: int


def memory_usage(device: str) -> MemoryUsage:
    """What is in use on ``device``, and the peak since :func:`reset_peak`."""
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
    """Count the peak from now on. False where the system does not let a process do that."""
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
    """Hand memory that no object needs any more back to the device or the system."""
    gc.collect()
    if device != "cpu":
        import torch

        torch.cuda.empty_cache()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # glibc; musl keeps less back
            libc.malloc_trim(0)


def return_large_blocks_to_os() -> None:
    """Let glibc return each large block when it is freed.

    It raises that limit up to 32 MB by itself, and would keep layers that went to disk.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that an allocation failed, on a card or in RAM."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True  # the second is torch's, which is not imported here
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch's CPU allocator raises a plain one.
    return isinstance(error, RuntimeError) and any(
        said in str(error) for said in _OUT_OF_MEMORY_MESSAGES
    )


def _peak_resident_bytes() -> int | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
