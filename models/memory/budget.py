"""The memory budget of a replica.

All sizes are MB of 2**20 bytes unless a name says bytes.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch

from models.memory.peaks import MB

SYSTEM_MB = 500  # of the whole device: driver, display, other processes


BUFFER_MB = 500  # of each replica: CUDA context, libraries' workspaces, fragmentation


class NoMemoryBudget(ValueError):
    """The replica's share of the device leaves no memory for a model."""


@dataclass(frozen=True)
class MemoryBudget:
    """The memory for a replica's models on ``device``: ``share x (total - system) - buffer``.

    On a GPU it is less where other processes, such as a display, left less free. ``device`` names
    one device (``cpu``, ``cuda:0``); see :func:`device_name`. ``enforce_on_cpu`` asks
    :meth:`enforce` to limit a process that computes on the CPU, too.
    """

    device: str
    total_mb: int
    limit_mb: int
    enforce_on_cpu: bool = False

    @classmethod
    def for_device_memory(
        cls,
        total_mb: int,
        share: float = 1.0,
        *,
        device: str = "cpu",
        system_mb: int = SYSTEM_MB,
        buffer_mb: int = BUFFER_MB,
    ) -> MemoryBudget:
        """Compute the budget of a device with ``total_mb``.

        Raises:
            NoMemoryBudget: no memory is left for models.
        """
        limit = int(share * (total_mb - system_mb) - buffer_mb)
        if limit <= 0:
            raise NoMemoryBudget(
                f"a share of {share:g} of {total_mb} MB on {device} leaves nothing for a model"
                f" after {system_mb} MB for the system and {buffer_mb} MB of buffer;"
                " give a larger share"
            )
        return cls(device, total_mb, limit)

    @classmethod
    def detect(
        cls,
        device: str = "cpu",
        share: float = 1.0,
        *,
        system_mb: int = SYSTEM_MB,
        buffer_mb: int = BUFFER_MB,
    ) -> MemoryBudget:
        """Detect the budget on this machine: from the GPU's memory, or the RAM of this process.

        A GPU's budget is within what is free now: other replicas, a display and this process's own
        context have taken the rest. ``ATELIER_RAM_BUDGET_MB`` is the budget itself on a CPU,
        whatever ``share`` says, and makes it strict: the operator knows how many replicas share the
        machine.

        Raises:
            NoMemoryBudget: no memory is left for models.
        """
        device = device_name(device)
        if device != "cpu":
            free, total = torch.cuda.mem_get_info(device)
            budget = cls.for_device_memory(
                total // MB, share, device=device, system_mb=system_mb, buffer_mb=buffer_mb
            )
            free_mb = free // MB - buffer_mb
            if free_mb <= 0:
                raise NoMemoryBudget(
                    f"of {total // MB} MB on {device} other processes left {free // MB} MB free,"
                    f" which is not more than the {buffer_mb} MB of buffer; end some of them"
                )
            return replace(budget, limit_mb=min(budget.limit_mb, free_mb))
        total_mb = ram_bytes() // MB
        if (budget_setting := os.environ.get("ATELIER_RAM_BUDGET_MB")) is not None:
            if not budget_setting.isdigit() or int(budget_setting) == 0:
                raise NoMemoryBudget(
                    f"ATELIER_RAM_BUDGET_MB={budget_setting!r} is not a number of MB above 0"
                )
            return cls(device, total_mb, int(budget_setting), enforce_on_cpu=True)
        return cls.for_device_memory(total_mb, share, system_mb=system_mb, buffer_mb=buffer_mb)

    def enforce(self) -> None:
        """Make an allocation beyond the budget fail in this process, not in another replica.

        On CUDA PyTorch's allocator is limited to its fraction of the GPU. On a CPU a strict budget
        sets the soft RLIMIT_DATA to the current size plus the budget, so that an allocation fails
        with an error before the kernel would kill the process.
        """
        if self.device != "cpu":
            fraction = min(1.0, self.limit_mb / self.total_mb)
            torch.cuda.set_per_process_memory_fraction(fraction, device_name(self.device))
        elif self.enforce_on_cpu:
            _limit_data(self.limit_mb * MB)


def device_name(device: str) -> str:
    """Name one device: ``cuda`` becomes the current one, such as ``cuda:0``; others stay.

    Some functions of ``torch.cuda`` refuse a device without an index.
    """
    return f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device


def ram_bytes() -> int:
    """Return the machine's RAM in bytes, or the limit of the process' cgroup if that is less."""

    limits = [psutil.virtual_memory().total]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(file)
        if path.is_file() and (limit := path.read_text().strip()).isdigit():
            limits.append(int(limit))
    return min(limits)


def _limit_data(extra: int) -> None:
    status = Path("/proc/self/status")
    if not status.is_file():  # only Linux counts writable private memory under this limit
        return

    now = next(int(s.split()[1]) for s in status.read_text().splitlines() if s[:7] == "VmData:")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = now * 1024 + extra
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
