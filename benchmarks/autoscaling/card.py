"""One simulated GPU: jobs that work on it, models that lie on it, and what batches gain.

Its time is divided evenly among the groups that have jobs; jobs of one group share batches. What
is assumed:

- Jobs need nothing but the card. Encoding and uploading, which a manager does not wait for, count
  as its work as well.
- A batch of n jobs is ``batch_gain(n)`` times as fast as one job at a time. That is measured, with
  the small models on two CPU cores: another card gains more or less (``--gain``).
- Loading a model takes the card ``load_s``, in which nothing else runs on it.
- Where more models are wanted than the card holds, each stays for at least ``TURN`` times what
  loading it took, so that a tenth of the time goes to loading at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deployments.gpu_manager.device_share import DeviceShare, Share

# Pictures a second by the requests at a time: "step-level batching" of benchmarks.engine, in
# docs/benchmarks.md. Nothing is assumed beyond the largest that was measured.
PICTURES_PER_S = {1: 2.18, 4: 5.38, 16: 11.31}
TURN = 9.0


def batch_gain(jobs: int, part: float) -> float:
    """How many times as much a batch of so many jobs gets done as one job at a time, if this
    ``part`` of the measured gain is had."""
    found = np.interp(jobs, list(PICTURES_PER_S), list(PICTURES_PER_S.values()))
    return 1.0 + part * (float(found) / PICTURES_PER_S[1] - 1.0)


@dataclass(eq=False)
class Job:
    generator: str
    at: float
    left_s: float  # of a card that does nothing else
    done: bool = False
    share: Share | None = None


@dataclass
class Card:
    """``holds``: as many models as fit; a group's model is loaded when it has jobs. None: the
    groups are processes that have loaded theirs before they take jobs."""

    load_s: float
    gain: float
    holds: int | None = None
    groups: dict[str, list[Job]] = field(default_factory=dict)
    loaded: dict[str, float] = field(default_factory=dict)  # since when
    busy_until: float = 0.0
    loads: int = 0
    worked: float = 0.0  # seconds
    now: float = 0.0

    def __post_init__(self) -> None:
        self.device = DeviceShare(lambda: self.now)

    def add(self, group: str, job: Job) -> None:
        self.groups.setdefault(group, []).append(job)
        job.share = self.device.begin(job.generator)

    @property
    def jobs(self) -> int:
        return sum(map(len, self.groups.values()))

    def advance(self, now: float, dt: float) -> None:
        """Let ``dt`` seconds pass until ``now``."""
        self.now = now
        if self.holds is not None:
            self._load_next(now)
        if now < self.busy_until:
            return
        working = [name for name in self.groups if self.holds is None or name in self.loaded]
        for name in working:
            jobs = self.groups[name]
            gain = batch_gain(len(jobs), self.gain)
            for job in jobs:
                job.left_s -= dt / len(working) * gain / len(jobs)
                job.done = job.left_s <= 0
                if job.done and job.share is not None:
                    self.device.end(job.share, completed=True)
        self.worked += dt * bool(working)
        left = {name: [job for job in jobs if not job.done] for name, jobs in self.groups.items()}
        self.groups = {name: jobs for name, jobs in left.items() if jobs}

    def _load_next(self, now: float) -> None:
        """Load a model that jobs wait for, in place of one that has none or has had its turn."""
        assert self.holds is not None
        missing = [name for name in self.groups if name not in self.loaded]
        if now < self.busy_until or not missing:
            return
        if len(self.loaded) >= self.holds:
            # Idle ones first, then the one that was loaded first.
            oldest = min(self.loaded, key=lambda name: (name in self.groups, self.loaded[name]))
            if oldest in self.groups and now - self.loaded[oldest] < TURN * self.load_s:
                return
            del self.loaded[oldest]
        first = min(missing, key=lambda name: self.groups[name][0].at)
        self.busy_until = self.loaded[first] = now + self.load_s
        self.loads += 1
