"""Export how full the engine's batches are, by the generator whose pictures they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metrics import catalog

if TYPE_CHECKING:
    from models.diffusion.batching.stats import EngineStats

_COUNTERS = {
    "batches": catalog.ENGINE_BATCHES,
    "rows": catalog.ENGINE_ROWS,
    "batch_rows": catalog.ENGINE_BATCH_ROWS,
    "shared_batches": catalog.ENGINE_SHARED_BATCHES,
}


class EngineMetrics:
    """Exports the engine's counters; rows over batches is the occupancy."""

    def __init__(self) -> None:
        self._exported: dict[tuple[str, str], int] = {}

    def export(self, stats: EngineStats) -> None:
        """Count what was computed since the last call."""
        for label, counts in stats.labels.items():
            for name, counter in _COUNTERS.items():
                total: int = getattr(counts, name)
                generator = label or "none"
                if (label, name) not in self._exported:
                    counter.start(generator=generator)
                counter.inc(total - self._exported.get((label, name), 0), generator=generator)
                self._exported[label, name] = total
