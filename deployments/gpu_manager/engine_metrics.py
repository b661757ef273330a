"""Export how full the engine's batches are, by the generator whose pictures they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray.util.metrics import Counter

if TYPE_CHECKING:
    from models.diffusion.batching.stats import EngineStats

_COUNTERS = {
    "batches": "Denoising batches that held pictures of the generator.",
    "rows": "Pictures of the generator in denoising batches.",
    "batch_rows": "Pictures of any generator in those batches.",
    "shared_batches": "Those batches that held pictures of another generator, too.",
}


class EngineMetrics:
    """Exports the engine's counters as Ray's metrics; rows over batches is the occupancy."""

    def __init__(self) -> None:
        self._counters = {
            name: Counter(f"atelier_engine_{name}_total", description=text, tag_keys=("generator",))
            for name, text in _COUNTERS.items()
        }
        self._exported: dict[tuple[str, str], int] = {}

    def export(self, stats: EngineStats) -> None:
        """Count what was computed since the last call."""
        for label, counts in stats.labels.items():
            for name, counter in self._counters.items():
                total: int = getattr(counts, name)
                more = total - self._exported.get((label, name), 0)
                if more > 0:
                    counter.inc(more, {"generator": label or "none"})
                    self._exported[label, name] = total
