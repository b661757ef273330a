"""Record the estimated and the measured peak memory of each model and memory plan."""

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
    """The estimated memory of a plan and its highest measured peak, in MB."""

    model: str
    plan: MemoryPlan
    estimate_mb: int
    measured_mb: int | None = None

    @property
    def error_percent(self) -> float | None:
        """The estimate's error, positive if it was too high; ``None`` without a measurement."""
        if not self.measured_mb:
            return None
        return 100.0 * (self.estimate_mb - self.measured_mb) / self.measured_mb


class PeakTracker:
    """Measures one device; a run counts if nothing else ran or loaded in the process meanwhile."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._records: dict[tuple[str, MemoryPlan], PlanRecord] = {}
        self._highest = 0
        self._active = 0
        self._started = 0

    @contextmanager
    def measure_load(self) -> Iterator[list[int]]:
        """Yield a list that receives, after the block, the bytes it added to the device."""
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
        """Measure the block's peak: ``own_bytes`` of the model plus the memory used on top."""
        with self._lock:
            self._active += 1
            self._started += 1
            run_number, before = self._started, self._update_highest()
            alone = self._active == 1 and reset_peak(self._device)
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                after = self._update_highest()
                if alone and self._started == run_number:
                    self._record_measurement(model, plan, own_bytes + after.peak - before.allocated)

    def record_estimate(self, model: str, plan: MemoryPlan, estimate_mb: int) -> None:
        """Record that ``model`` is held under ``plan``, with its estimate."""
        with self._lock:
            self._records.setdefault((model, plan), PlanRecord(model, plan, estimate_mb))

    def records(self) -> list[PlanRecord]:
        """Return the estimate and measured peak of every plan that was used."""
        with self._lock:
            return list(self._records.values())

    def current_usage(self) -> MemoryUsage:
        """Return the memory in use in bytes; ``peak`` is the highest since this object exists."""
        with self._lock:
            use = self._update_highest()
            return MemoryUsage(use.allocated, use.reserved, self._highest)

    def _update_highest(self) -> MemoryUsage:
        use = memory_usage(self._device)
        self._highest = max(self._highest, use.peak)
        return use

    def _record_measurement(self, model: str, plan: MemoryPlan, peak_bytes: int) -> None:
        record = self._records[model, plan]
        highest = max(round(peak_bytes / MB), record.measured_mb or 0)
        self._records[model, plan] = PlanRecord(model, plan, record.estimate_mb, highest)
