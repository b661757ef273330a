"""The policies that are compared, each as it is: ours, and Ray Serve's own function."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle, islice
from statistics import fmean
from types import SimpleNamespace
from typing import Any, Protocol

from ray.serve import autoscaling_policy as rays
from ray.serve.config import AutoscalingConfig

from benchmarks.autoscaling.cluster import Cluster
from benchmarks.autoscaling.traffic import Catalog, Scenario
from db.redis.queue import QueueCounts
from deployments.autoscaling.packing import NodeResources
from deployments.autoscaling.policy import QueueDepthPolicy
from deployments.autoscaling.queue_reader import QueueSnapshot

MOST = 4  # replicas of a generator
EVERY_S = 0.2  # between two decisions


class Policy(Protocol):
    def decide(self, cluster: Cluster) -> Mapping[str, int]: ...


class QueueDepth:
    """``QueueDepthPolicy`` with the simulation's queues and clock in place of Redis and time."""

    def __init__(self, modules: list[str], cluster: Cluster) -> None:
        self._cluster = cluster
        self._policy = QueueDepthPolicy(modules, reader=self, clock=lambda: cluster.now)

    def latest(self) -> QueueSnapshot:
        cluster = self._cluster
        counts = {
            name: QueueCounts(len(line.waiting), len(line.active))
            for name, line in cluster.lines.items()
        }
        return QueueSnapshot(
            cluster.now, counts, nodes=[NodeResources(math.inf, len(cluster.cards))]
        )

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


class Turns:
    """What scaled generators before there were managers: those with work take turns on the cards.

    Loading is a tenth of a turn; a turn is up to three times longer for a generator with more than
    its part of the work. Free places go to the longest queues.
    """

    def __init__(self, catalog: Catalog, scenario: Scenario, load_s: float) -> None:
        self._catalog, self._places = catalog, int(scenario.gpus / scenario.share)
        self._turn_s = min(max(9 * load_s, 10.0), 300.0)
        self._since: dict[str, float] = {}  # it runs, or its jobs wait without a replica

    def decide(self, cluster: Cluster) -> Mapping[str, int]:
        jobs = {name: len(line.waiting) + len(line.active) for name, line in cluster.lines.items()}
        work = {name: jobs[name] * self._catalog[name].expected_seconds for name in jobs}
        queues = [name for name in jobs if jobs[name]]
        here = {name: 1 for name in queues if cluster.lines[name].target}
        for name, line in cluster.lines.items():
            started = line.target == 0 or line.running(cluster.now)
            if not started or not jobs[name]:
                self._since[name] = cluster.now
        starved = [name for name in queues if name not in here and cluster.lines[name].waiting]
        for name in sorted(starved, key=lambda name: self._since[name]):
            if len(here) >= self._places:
                part = {n: work[n] * len(queues) / sum(work.values()) for n in here}
                over = {
                    n: cluster.now - self._since[n] - self._turn_s * min(max(part[n], 1.0), 3.0)
                    for n in here
                }
                last = max(over, key=lambda n: over[n])
                if over[last] < 0:
                    break
                del here[last]
                self._since[last] = cluster.now
            here[name] = 1
            self._since[name] = cluster.now
        while sum(here.values()) < self._places:
            more = [n for n in here if here[n] < min(MOST, jobs[n] / self._catalog[n].concurrency)]
            if not more:
                break
            here[max(more, key=lambda n: work[n] / here[n] / self._catalog[n].concurrency)] += 1
        return dict.fromkeys(jobs, 0) | here


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
            self._seen[name].append(len(line.waiting) + len(line.active))
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

    def __init__(self, catalog: Catalog, scenario: Scenario) -> None:
        places = islice(cycle(catalog), int(scenario.gpus / scenario.share))
        self._given = dict.fromkeys(catalog, 0) | Counter(places)

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
