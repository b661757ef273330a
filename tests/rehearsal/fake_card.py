"""A GPU that is not there: plays the driver below ``torch.cuda``, for a card of a given size.

Only calls that ask the driver are replaced. What PyTorch's Python code checks before it calls the
driver is checked as on a card.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensor

from models.memory.peaks import MB
from tests.rehearsal.fake_tensors import (
    METHODS,
    CountingMode,
    FakeMode,
    MemoryCounter,
    apply,
    attention,
    tensor,
)

# What a process takes of a card before its first tensor: the context with kernels loaded when they
# are first used, and the workspaces of cuBLAS and cuDNN. Public measurements are 250 to 500 MB.
CONTEXT_MB = 400


class FakeCard:
    """A card of ``total_mb``, of which ``others_mb`` are taken by other processes."""

    def __init__(self, total_mb: int, *, others_mb: int = 0) -> None:
        self.total_mb = total_mb
        self._others_mb = others_mb
        self.memory = MemoryCounter((total_mb - others_mb - CONTEXT_MB) * MB)
        self._mode = FakeMode()

    @property
    def peak_mb(self) -> int:
        """The most that was allocated since :meth:`reset_peak`, in MB."""
        return self.memory.peak // MB

    @property
    def allocated_mb(self) -> int:
        return self.memory.now // MB

    def reset_peak(self) -> None:
        self.memory.peak = self.memory.now

    @contextlib.contextmanager
    def modes(self) -> Iterator[None]:
        """Inside, this thread's tensors are fake."""
        with self._mode, CountingMode(self.memory), torch.no_grad():
            yield

    @contextlib.contextmanager
    def inserted(self) -> Iterator[FakeCard]:
        """Inside, the machine has this card: for this thread and all that it starts."""
        with ExitStack() as stack:
            for target, name, new in (*self._driver(), *self._python()):
                stack.enter_context(patch.object(target, name, new, create=True))
            for name, method in METHODS.items():
                stack.enter_context(patch.object(FakeTensor, name, method, create=True))
            stack.enter_context(self.modes())
            yield self

    def _driver(self) -> list[tuple[Any, str, Any]]:
        c, cuda = torch._C, torch.cuda
        memory = SimpleNamespace(cudaMemGetInfo=self._mem_get_info)
        stats = {"_cuda_memoryStats": self._stats, "_cuda_resetPeakMemoryStats": self._reset}
        nothing = dict.fromkeys(
            ("_cuda_init", "_cuda_emptyCache", "_cuda_synchronize", "_cuda_setDevice",
             "_cuda_resetAccumulatedMemoryStats", "_cuda_ipc_collect"),
            _nothing,
        )  # fmt: skip
        return [
            *((c, name, call) for name, call in {**stats, **nothing}.items()),
            (c, "_cuda_getDevice", lambda: 0),
            (c, "_cuda_getDeviceCount", lambda: 1),
            (c, "_cuda_setMemoryFraction", self._limit),
            *((module, "_lazy_init", _nothing) for module in (cuda, cuda.memory)),
            (cuda, "_initialized", True),
            (cuda, "is_available", lambda: True),
            (cuda, "device_count", lambda: 1),
            (cuda, "cudart", lambda: memory),
            (cuda, "synchronize", _nothing),
            (cuda, "manual_seed", _nothing),
            (cuda, "manual_seed_all", _nothing),
            (cuda, "get_rng_state", lambda device=None: torch.zeros(16, dtype=torch.uint8)),
            (cuda, "set_rng_state", _nothing),
            (cuda, "is_bf16_supported", lambda *_, **__: True),
            (cuda, "get_device_capability", lambda device=None: (8, 9)),
            (cuda, "get_device_properties", lambda device=None: self._properties()),
            (cuda, "get_device_name", lambda device=None: self._properties().name),
            (cuda, "Stream", _Stream),
            (cuda, "Event", _Stream),
            (cuda, "stream", lambda stream: contextlib.nullcontext()),
            (cuda, "current_stream", lambda device=None: _Stream()),
            (cuda, "default_stream", lambda device=None: _Stream()),
            (torch._subclasses.fake_tensor, "init_gpu_context", _nothing),
        ]

    def _python(self) -> list[tuple[Any, str, Any]]:
        card, run = self, threading.Thread.run

        def run_with_card(thread: threading.Thread) -> None:
            with card.modes():
                run(thread)

        return [
            (threading.Thread, "run", run_with_card),
            (torch, "Generator", _Generator),
            (torch, "tensor", tensor),
            (torch.nn.Module, "_apply", apply),
            (torch.nn.functional, "scaled_dot_product_attention", attention),
        ]

    def _mem_get_info(self, index: int) -> tuple[int, int]:
        used = (self._others_mb + CONTEXT_MB) * MB + self.memory.now
        return max(0, self.total_mb * MB - used), self.total_mb * MB

    def _limit(self, fraction: float, index: int) -> None:
        most = self.total_mb - self._others_mb - CONTEXT_MB
        self.memory.limit = min(int(fraction * self.total_mb), most) * MB

    def _stats(self, index: int) -> dict[str, Any]:
        now, peak = self.memory.now, self.memory.peak
        counted = {"all": {"current": now, "peak": peak, "allocated": peak, "freed": peak - now}}
        return {"allocated_bytes": counted, "reserved_bytes": counted}

    def _reset(self, index: int) -> None:
        self.reset_peak()

    def _properties(self) -> Any:
        return SimpleNamespace(
            name="Fake card", total_memory=self.total_mb * MB, major=8, minor=9,
            multi_processor_count=64, warp_size=32, gcnArchName="",
        )  # fmt: skip


class _Stream:
    """A stream or an event: everything is done at once."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.cuda_stream = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class _Generator(torch.Generator):
    """A generator of random numbers that says it is on the card."""

    _named = torch.device("cpu")

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls)
        made._named = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        return self._named


def _nothing(*_: Any, **__: Any) -> None:
    return None
