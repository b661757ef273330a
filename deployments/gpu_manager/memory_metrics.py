"""Sample a GPU manager's memory: a row in ``gpu_stats``, and gauges for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.operations import gpu_stats
from db.session import Sessions
from models.schemas.memory import MemoryStats

SAMPLE_INTERVAL_S = 10.0

log = structlog.get_logger(__name__)


@runtime_checkable
class HasMemoryStats(Protocol):
    """What reports how models use memory. It is called in a thread of its own."""

    def memory(self) -> MemoryStats | None:
        """The current state; None before the first model is loaded."""
        ...


class Gauge(Protocol):
    """The part of ``ray.util.metrics.Gauge`` that is used here."""

    def set(self, value: float, tags: dict[str, str] | None = None) -> None: ...


class Counter(Protocol):
    """The part of ``ray.util.metrics.Counter`` that is used here."""

    def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None: ...


class MemoryMetrics:
    """Exports samples as Ray's metrics, which its dashboard and Prometheus read.

    A model's memory plan is a gauge of 1 with the plan as a label; an earlier plan's gauge is 0.
    """

    def __init__(
        self, makers: tuple[Callable[..., Gauge], Callable[..., Counter]] | None = None
    ) -> None:
        """``makers`` of gauges and counters replace those of Ray, for use without Ray."""
        gauge, counter = makers or _ray_metrics()
        labels = ("generator", "replica", "device")
        self._sizes = {
            name: gauge(f"atelier_memory_{name}_bytes", description=text, tag_keys=labels)
            for name, text in {
                "allocated": "Memory in use by tensors (on a CPU: by the process).",
                "reserved": "Memory the allocator holds.",
                "peak": "Highest memory in use since the replica started.",
                "budget": "What the replica's models may use.",
            }.items()
        }
        self._plan = gauge(
            "atelier_memory_plan",
            description="1 for the memory plan a loaded model is held under.",
            tag_keys=("generator", "replica", "model", "plan"),
        )
        self._counters = {
            name: counter(f"atelier_model_{name}_total", description=text, tag_keys=labels)
            for name, text in {
                "loads": "Models loaded.",
                "evictions": "Models evicted to make room.",
                "ooms": "Times a job ran out of memory.",
                "plan_changes": "Times a model's memory plan was changed.",
            }.items()
        }
        self._counted = dict.fromkeys(self._counters, 0)
        self._exported_plans: dict[str, str] = {}

    def export(self, generator: str, replica: str, stats: MemoryStats) -> None:
        replica_labels = {"generator": generator, "replica": replica}
        labels = {**replica_labels, "device": stats.device}
        for name, size in self._sizes.items():
            size.set(getattr(stats, name), labels)
        for name, total in self._counters.items():
            now: int = getattr(stats, name)
            if now > self._counted[name]:
                total.inc(now - self._counted[name], labels)
                self._counted[name] = now
        for model, plan in self._exported_plans.items():
            if stats.plans.get(model) != plan:
                self._plan.set(0, {**replica_labels, "model": model, "plan": plan})
        for model, plan in stats.plans.items():
            self._plan.set(1, {**replica_labels, "model": model, "plan": plan})
        self._exported_plans = dict(stats.plans)


def _ray_metrics() -> tuple[Any, Any]:
    from ray.util import metrics

    return metrics.Gauge, metrics.Counter


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
    }
