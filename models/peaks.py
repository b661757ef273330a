"""Estimates beside what was measured: the peak of loads and runs, plan by plan."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.memory_plans import Plan
from models.memory_use import Use, memory_use, reset_peak

MB = 2**20


@dataclass(frozen=True)
class PlanRecord:
    """What a plan was estimated to take and the highest peak it was seen to take, in MB."""

    model: str
    plan: Plan
    estimate_mb: int
    measured_mb: int | None = None

    @property
    def error_percent(self) -> float | None:
        """How far the estimate is off: positive where it was too high. None if never measured."""
        if not self.measured_mb:
            return None
        return 100.0 * (self.estimate_mb - self.measured_mb) / self.measured_mb


class Peaks:
    """Watches one device. A run counts if nothing else ran or loaded in the process meanwhile."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._records: dict[tuple[str, Plan], PlanRecord] = {}
        self._highest = 0
        self._going_on = 0
        self._started = 0

    @contextmanager
    def loading(self) -> Iterator[list[int]]:
        """The list holds, once the block has ended, the bytes it added to the device."""
        added: list[int] = []
        with self._lock:
            self._going_on += 1
            self._started += 1
        before = memory_use(self._device).allocated
        try:
            yield added
        finally:
            added.append(max(0, memory_use(self._device).allocated - before))
            with self._lock:
                self._going_on -= 1

    @contextmanager
    def running(self, model: str, plan: Plan, own_bytes: int) -> Iterator[None]:
        """Measure the block: ``own_bytes`` of the model itself and what comes on top."""
        with self._lock:
            self._going_on += 1
            self._started += 1
            mine, before = self._started, self._note()
            alone = self._going_on == 1 and reset_peak(self._device)
        try:
            yield
        finally:
            with self._lock:
                self._going_on -= 1
                after = self._note()
                if alone and self._started == mine:
                    self._measured(model, plan, own_bytes + after.peak - before.allocated)

    def expect(self, model: str, plan: Plan, estimate_mb: int) -> None:
        """``model`` is now held under ``plan``."""
        with self._lock:
            self._records.setdefault((model, plan), PlanRecord(model, plan, estimate_mb))

    def records(self) -> list[PlanRecord]:
        with self._lock:
            return list(self._records.values())

    def now(self) -> Use:
        """What is in use; its peak is the highest since this object was made."""
        with self._lock:
            use = self._note()
            return Use(use.allocated, use.reserved, self._highest)

    def _note(self) -> Use:
        use = memory_use(self._device)
        self._highest = max(self._highest, use.peak)
        return use

    def _measured(self, model: str, plan: Plan, taken: int) -> None:
        known = self._records[model, plan]
        highest = max(round(taken / MB), known.measured_mb or 0)
        self._records[model, plan] = PlanRecord(model, plan, known.estimate_mb, highest)
