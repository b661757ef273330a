"""Estimates beside what was measured: the peak of loads and runs, plan by plan."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.memory.plans import MemoryPlan
from models.memory.usage import MemoryUsage, memory_usage, reset_peak

MB = 2**20


@dataclass(frozen=True)
class PlanRecord:
    """What a plan was estimated to take and the highest peak it was seen to take, in MB."""

    model: str
    plan: MemoryPlan
    estimate_mb: int
    measured_mb: int | None = None

    @property
    def error_percent(self) -> float | None:
        """How far the estimate is off: positive where it was too high. None if never measured."""
        if not self.measured_mb:
            return None
        return 100.0 * (self.estimate_mb - self.measured_mb) / self.measured_mb


class PeakTracker:
    """Watches one device. A run counts if nothing else ran or loaded in the process meanwhile."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._records: dict[tuple[str, MemoryPlan], PlanRecord] = {}
        self._highest = 0
        self._active = 0
        self._started = 0

    @contextmanager
    def measure_load(self) -> Iterator[list[int]]:
        """The list holds, once the block has ended, the bytes it added to the device."""
        added: list[int] = []
        with self._lock:
            self._active += 1
            self._started += 1
        before = memory_usage(self._device).allocated
        try:
            yield added
        finally:
            added.append(max(0, memory_usage(self._device).allocated - before))
            with self._lock:
                self._active -= 1

    @contextmanager
    def measure_run(self, model: str, plan: MemoryPlan, own_bytes: int) -> Iterator[None]:
        """Measure the block: ``own_bytes`` of the model itself and what comes on top."""
        with self._lock:
            self._active += 1
            self._started += 1
            mine, before = self._started, self._update_highest()
            alone = self._active == 1 and reset_peak(self._device)
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                after = self._update_highest()
                if alone and self._started == mine:
                    self._record_measurement(model, plan, own_bytes + after.peak - before.allocated)

    def record_estimate(self, model: str, plan: MemoryPlan, estimate_mb: int) -> None:
        """``model`` is now held under ``plan``."""
        with self._lock:
            self._records.setdefault((model, plan), PlanRecord(model, plan, estimate_mb))

    def records(self) -> list[PlanRecord]:
        with self._lock:
            return list(self._records.values())

    def current_usage(self) -> MemoryUsage:
        """What is in use; its peak is the highest since this object was made."""
        with self._lock:
            use = self._update_highest()
            return MemoryUsage(use.allocated, use.reserved, self._highest)

    def _update_highest(self) -> MemoryUsage:
        use = memory_usage(self._device)
        self._highest = max(self._highest, use.peak)
        return use

    def _record_measurement(self, model: str, plan: MemoryPlan, taken: int) -> None:
        known = self._records[model, plan]
        highest = max(round(taken / MB), known.measured_mb or 0)
        self._records[model, plan] = PlanRecord(model, plan, known.estimate_mb, highest)
