"""What the engine has computed, as a whole and by the label of those who asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.diffusion.batching.call import Call


@dataclass(frozen=True)
class LabelStats:
    """Counters of the batches that held rows of one label.

    ``batch_rows / batches`` is their mean size: the occupancy that requests of the label see.
    """

    batches: int = 0
    rows: int = 0  # of this label
    batch_rows: int = 0  # of any label
    shared_batches: int = 0  # that held rows of another label, too


@dataclass(frozen=True)
class EngineStats:
    """Counters since the engine started; ``rows / batches`` is the mean batch size."""

    batches: int = 0
    rows: int = 0
    calls: int = 0
    split_batches: int = 0  # failed as a whole and were computed call by call
    busy_seconds: float = 0.0  # of all lanes together
    labels: Mapping[str, LabelStats] = field(default_factory=dict)

    def with_batch(self, calls: Sequence[Call], seconds: float) -> EngineStats:
        """Return the counters after one more batch."""
        rows = Counter[str]()
        for call in calls:
            rows[call.label] += call.rows
        labels = dict(self.labels)
        for label, own in rows.items():
            before = labels.get(label, LabelStats())
            labels[label] = LabelStats(
                batches=before.batches + 1,
                rows=before.rows + own,
                batch_rows=before.batch_rows + rows.total(),
                shared_batches=before.shared_batches + (len(rows) > 1),
            )
        return replace(
            self,
            batches=self.batches + 1,
            rows=self.rows + rows.total(),
            calls=self.calls + len(calls),
            busy_seconds=self.busy_seconds + seconds,
            labels=labels,
        )
