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
        """Count what was computed since the last call; of a generator that is new, with the next.

        In one call with the zero at which a counter begins, nobody would see that.
        """
        for label, counts in stats.labels.items():
            for name, counter in _COUNTERS.items():
                total: int = getattr(counts, name)
                generator = label or "none"
                if (label, name) not in self._exported:
                    counter.start(generator=generator)
                    self._exported[label, name] = 0
                    continue
                counter.inc(total - self._exported[label, name], generator=generator)
                self._exported[label, name] = total
