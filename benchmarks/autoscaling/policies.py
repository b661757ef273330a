"""The policies that are compared, each as it is: ours, and Ray Serve's own function."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean
from types import SimpleNamespace
from typing import Any, Protocol

from ray.serve import autoscaling_policy as rays
from ray.serve.config import AutoscalingConfig

from benchmarks.autoscaling.cluster import Cluster
from benchmarks.autoscaling.traffic import Catalog
from db.redis.job_timings import JobTimings
from db.redis.queue import QueueCounts
from deployments.autoscaling.packing import NodeResources, ReplicaResources, pack
from deployments.autoscaling.policy import QueueDepthPolicy
from deployments.autoscaling.queue_reader import QueueSnapshot

MOST = 4  # replicas of a generator
EVERY_S = 0.2  # between two decisions


class Policy(Protocol):
    def decide(self, cluster: Cluster) -> Mapping[str, int]: ...


class QueueDepth:
    """``QueueDepthPolicy`` with the simulation's queues and clock in place of Redis and time."""

    def __init__(
        self, modules: list[str], shares: Mapping[str, float], cluster: Cluster, load_s: float
    ) -> None:
        self._cluster, self._load_s = cluster, load_s
        self._policy = QueueDepthPolicy(
            modules, shares=shares, reader=self, clock=lambda: cluster.now
        )

    def latest(self) -> QueueSnapshot:
        cluster = self._cluster
        counts = {
            name: QueueCounts(len(line.waiting), line.active)
            for name, line in cluster.lines.items()
        }
        pace = dict.fromkeys(counts, JobTimings(load_s=self._load_s))
        return QueueSnapshot(cluster.now, counts, pace, [NodeResources(math.inf, cluster.gpus)])

    def decide(self, cluster: Cluster) -> Mapping[str, int]:
        contexts = {
            name: SimpleNamespace(
                deployment_name=name,
                target_num_replicas=line.target,
                current_num_replicas=line.running(cluster.now),
                capacity_adjusted_min_replicas=0,
                capacity_adjusted_max_replicas=MOST,
            )
            for name, line in cluster.lines.items()
        }
        decided, _ = self._policy(contexts)
        return decided


class RaysOwn:
    """Serve's default policy, told of every waiting and running job as if it were a request.

    That is more than it would know of jobs that are pulled. ``options`` are an
    ``AutoscalingConfig``'s; its delays are measured in simulated time.
    """

    def __init__(self, catalog: Catalog, **options: Any) -> None:
        self._decide = rays._apply_autoscaling_config(rays.default_autoscaling_policy)
        self._configs = {
            name: AutoscalingConfig(
                min_replicas=0,
                max_replicas=MOST,
                target_ongoing_requests=spec.concurrency,
                **options,
            )
            for name, spec in catalog.items()
        }
        window = next(iter(self._configs.values())).look_back_period_s
        self._seen: dict[str, deque[int]] = {
            name: deque(maxlen=round(window / EVERY_S)) for name in catalog
        }
        self._state: dict[str, dict[str, Any]] = {name: {} for name in catalog}

    def decide(self, cluster: Cluster) -> Mapping[str, int]:
        decided = {}
        for name, line in cluster.lines.items():
            self._seen[name].append(len(line.waiting) + line.active)
            context: Any = SimpleNamespace(
                config=self._configs[name],
                current_num_replicas=line.running(cluster.now),
                target_num_replicas=line.target,
                total_num_requests=fmean(self._seen[name]),
                policy_state=self._state[name],
            )
            with _time_is(lambda: cluster.now):
                replicas, self._state[name] = self._decide(context)
            decided[name] = min(max(replicas, 0), MOST)
        return decided


class Fixed:
    """As many replicas as fit, dealt round by round, and never changed."""

    def __init__(self, catalog: Catalog, gpus: int) -> None:
        self._given = dict.fromkeys(catalog, 0)
        for _ in range(MOST):
            for name in catalog:
                more = self._given | {name: self._given[name] + 1}
                replicas = [
                    ReplicaResources(0.0, catalog[n].num_gpus)
                    for n, given in more.items()
                    for _ in range(given)
                ]
                if pack(replicas, [NodeResources(0.0, gpus)]):
                    self._given = more

    def decide(self, cluster: Cluster) -> Mapping[str, int]:
        return self._given


@contextmanager
def _time_is(clock: Callable[[], float]) -> Iterator[None]:
    """Serve's policy reads the wall clock: for the length of the block it reads ``clock``."""
    rays.time = SimpleNamespace(time=clock)  # type: ignore[assignment]
    try:
        yield
    finally:
        rays.time = time
