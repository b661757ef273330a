"""Sample a GPU manager's memory and card: a row in ``gpu_stats``, and gauges for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.operations import gpu_stats
from db.session import Sessions
from metrics import catalog
from models.schemas.memory import MemoryStats

SAMPLE_INTERVAL_S = 10.0

log = structlog.get_logger(__name__)


@runtime_checkable
class HasMemoryStats(Protocol):
    """What reports how models use memory. It is called in a thread of its own."""

    def memory(self) -> MemoryStats | None:
        """The current state; None before the first model is loaded."""
        ...


_SIZES = {
    "allocated": catalog.MEMORY_ALLOCATED,
    "reserved": catalog.MEMORY_RESERVED,
    "peak": catalog.MEMORY_PEAK,
    "budget": catalog.MEMORY_BUDGET,
}
_COUNTERS = {
    "loads": catalog.MODEL_LOADS,
    "load_seconds": catalog.MODEL_LOAD_SECONDS,
    "evictions": catalog.MODEL_EVICTIONS,
    "ooms": catalog.MODEL_OOMS,
    "plan_changes": catalog.MODEL_PLAN_CHANGES,
}


class MemoryMetrics:
    """Exports samples as metrics.

    A model's memory plan is a gauge of 1 with the plan as a label; an earlier plan's gauge is 0.
    """

    def __init__(self) -> None:
        self._counted: dict[str, float] = {}
        self._exported_plans: dict[str, str] = {}

    def export(self, generator: str, replica: str, stats: MemoryStats) -> None:
        replica_labels = {"generator": generator, "replica": replica}
        labels = {**replica_labels, "device": stats.device}
        for name, size in _SIZES.items():
            size.set(getattr(stats, name), **labels)
        for name, total in _COUNTERS.items():
            now: float = getattr(stats, name)
            if name not in self._counted:
                # Counted with the next sample: in one with the zero nobody would see that.
                total.start(**labels)
                self._counted[name] = 0
                continue
            total.inc(now - self._counted[name], **labels)
            self._counted[name] = now
        for model, plan in self._exported_plans.items():
            if stats.plans.get(model) != plan:
                catalog.MEMORY_PLAN.set(0, model=model, plan=plan, **replica_labels)
        for model, plan in stats.plans.items():
            catalog.MEMORY_PLAN.set(1, model=model, plan=plan, **replica_labels)
        self._exported_plans = dict(stats.plans)


class MemorySampler:
    """Samples ``source`` every ``every_s`` seconds until it is stopped.

    While the database is down the metrics are still set, and the rows are lost.
    """

    def __init__(
        self,
        generator: str,
        replica: str,
        source: HasMemoryStats,
        sessions: Sessions,
        metrics: MemoryMetrics | None = None,
        every_s: float = SAMPLE_INTERVAL_S,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """``also`` is called with every sample, to export other metrics."""
        self._generator, self._replica, self._source = generator, replica, source
        self._sessions, self._every_s, self._also = sessions, every_s, also
        self._metrics = metrics or MemoryMetrics()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._sample_loop())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sample(self) -> bool:
        """Take one sample; False if there are no statistics, or the row could not be written."""
        # In a thread: an eviction holds the lock of the model cache while it frees memory.
        stats = await asyncio.to_thread(self._source.memory)
        self._also()
        if stats is None:
            return False
        self._metrics.export(self._generator, self._replica, stats)
        try:
            async with self._sessions.begin() as session:
                await gpu_stats.add(session, self._generator, self._replica, _row(stats))
        except (SQLAlchemyError, OSError) as error:
            log.warning("memory_sample_lost", reason=str(error).partition("\n")[0])
            return False
        return True

    async def _sample_loop(self) -> None:
        while True:
            try:
                await self.sample()
            except Exception:
                # A failed sample must not disturb the generator's jobs.
                log.exception("memory_sample_failed")
            await asyncio.sleep(self._every_s)


def _row(stats: MemoryStats) -> dict[str, Any]:
    card = stats.card
    return {
        "device": stats.device,
        "allocated_bytes": stats.allocated,
        "reserved_bytes": stats.reserved,
        "peak_bytes": stats.peak,
        "budget_bytes": stats.budget,
        "plans": dict(stats.plans),
        "loads": stats.loads,
        "evictions": stats.evictions,
        "ooms": stats.ooms,
        "card_utilization": card and card.utilization,
        "card_temperature_celsius": card and card.temperature_celsius,
        "card_used_bytes": card and card.used,
        "card_total_bytes": card and card.total,
    }
