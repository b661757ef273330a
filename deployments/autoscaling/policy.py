"""``QueueDepthPolicy``: the application-level autoscaling policy that Ray Serve's controller calls.

The policy runs inside the controller's loop, where blocking or raising would stall every
application: a thread reads the queues, the rest is arithmetic, and after an error every deployment
keeps its number of replicas.
"""

# Serve pickles this module by value: nothing in it may hold a lock or a logger at import time.

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from db.redis.job_timings import JobTimings
from db.settings import StoreSettings
from deployments.autoscaling.planner import GeneratorLimits, GeneratorLoad, Planner, Rules
from deployments.autoscaling.queue_reader import QueueReader, QueueSnapshot
from deployments.catalog import load_catalog
from deployments.worker.ray_nodes import available_gpus

# Without a newer snapshot than this, no decision is made.
MAX_SNAPSHOT_AGE_S = 5.0
# Used until a replica's loading was measured.
DEFAULT_LOAD_S = 10.0


class QueueDepthPolicy:
    """Chooses the replicas of every listed generator by its queue's depth, within the GPUs.

    Other deployments keep their replicas. The bounds are each deployment's own (``min_replicas``,
    ``max_replicas``); a change takes effect with the next decision.
    """

    def __init__(
        self,
        generators: Sequence[str],
        gpu: bool = True,
        gpus: int | None = None,
        shares: Mapping[str, float] | None = None,
        rules: Mapping[str, float] | None = None,
        *,
        reader: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``generators`` are modules, as in the application's arguments; ``gpus`` of None
        counts the GPUs of all nodes that are not draining. ``shares`` replaces the catalogue's
        share of a GPU by generator, as in the application's arguments. ``rules`` replaces values
        of :class:`Rules`. ``reader`` and ``clock`` replace Redis and time in a simulation.
        """

        self._catalog = load_catalog(generators)
        self._gpu, self._gpus, self._shares = gpu, gpus, dict(shares or {})
        self._clock = clock
        self._planner = Planner(Rules(**(rules or {})))
        self._reader = reader
        self._metrics: _Metrics | None = None
        self._requested: dict[str, int] = {}
        self._fresh: bool | None = None  # whether the last snapshot was; None before the first

    def __call__(self, contexts: Mapping[Any, Any]) -> tuple[dict[Any, int], dict[Any, Any]]:
        """Take Serve's context of each deployment, return the number of replicas of each."""
        try:
            return self._decide(contexts), {}
        except Exception:
            logging.getLogger("ray.serve").exception("autoscaling_failed: everything is held")
            return {key: context.target_num_replicas for key, context in contexts.items()}, {}

    def _decide(self, contexts: Mapping[Any, Any]) -> dict[Any, int]:
        ours = {
            context.deployment_name: (key, context)
            for key, context in contexts.items()
            if context.deployment_name in self._catalog
        }
        snapshot = self._latest()
        if snapshot is None:
            return {key: context.target_num_replicas for key, context in ours.values()}
        limits = {name: self._limits(name, context) for name, (_, context) in ours.items()}
        loads = {name: self._load(name, context, snapshot) for name, (_, context) in ours.items()}
        plan = self._planner.plan(self._clock(), snapshot.gpus, limits, loads)
        self._report(plan, loads, snapshot)
        return {key: plan[name] for name, (key, _) in ours.items()}

    def _latest(self) -> QueueSnapshot | None:
        """The current snapshot; None if there is none, or it is too old."""
        if self._reader is None:
            self._reader = _open_reader(list(self._catalog), self._count_gpus)
        snapshot: QueueSnapshot | None = self._reader.latest()
        fresh = snapshot is not None and self._clock() - snapshot.at <= MAX_SNAPSHOT_AGE_S
        if fresh != self._fresh and (fresh or snapshot is not None):
            if self._fresh is not None:
                state = "resumed" if fresh else "held: there is no reading of the queues"
                logging.getLogger("ray.serve").warning(f"autoscaling {state}")
            self._fresh = fresh
        return snapshot if fresh else None

    def _count_gpus(self) -> int:
        if not self._gpu:
            return 0
        if self._gpus is not None:
            return self._gpus
        return available_gpus()

    def _limits(self, name: str, context: Any) -> GeneratorLimits:
        spec = self._catalog[name]
        share = self._shares.get(name, spec.num_gpus)
        return GeneratorLimits(
            gpu_share=share if self._gpu else 0.0,
            concurrency=spec.concurrency,
            min_replicas=context.capacity_adjusted_min_replicas,
            max_replicas=context.capacity_adjusted_max_replicas,
        )

    def _load(self, name: str, context: Any, snapshot: QueueSnapshot) -> GeneratorLoad:
        counts, timings = snapshot.counts[name], snapshot.timings.get(name, JobTimings())
        job_s = self._catalog[name].expected_seconds if timings.job_s is None else timings.job_s
        load_s = DEFAULT_LOAD_S if timings.load_s is None else timings.load_s
        return GeneratorLoad(
            waiting=0 if counts.paused else counts.waiting,
            active=counts.active,
            target=context.target_num_replicas,
            running=context.current_num_replicas,
            job_s=job_s,
            load_s=load_s,
        )

    def _report(
        self, plan: dict[str, int], loads: dict[str, GeneratorLoad], snapshot: QueueSnapshot
    ) -> None:
        """Log each change with its reasons, and export the metrics."""
        for name, replicas in plan.items():
            if self._requested.get(name, loads[name].target) != replicas:
                load = loads[name]
                logging.getLogger("ray.serve").info(
                    f"autoscaling {name}: {load.target} -> {replicas} replicas; waiting "
                    f"{load.waiting}, active {load.active}, running {load.running}, "
                    f"a job {load.job_s:.1f} s, loading {load.load_s:.1f} s, GPUs {snapshot.gpus}"
                )
        self._requested = plan
        if isinstance(self._reader, QueueReader):
            self._metrics = self._metrics or _Metrics()
            self._metrics.export(plan, loads)


class _Metrics:
    """Ray gauges, which its dashboard and Prometheus read."""

    def __init__(self) -> None:
        from ray.util.metrics import Gauge

        def gauge(name: str, text: str) -> Any:
            return Gauge(f"atelier_{name}", description=text, tag_keys=("generator",))

        self._gauges = {
            "waiting": gauge("queue_waiting", "Jobs that wait in the queue."),
            "active": gauge("queue_active", "Jobs that a replica holds."),
            "running": gauge("replicas_running", "Replicas that run."),
            "job_s": gauge("job_seconds", "What a job takes, a moving average."),
            "load_s": gauge("load_seconds", "What loading a replica takes, a moving average."),
        }
        self._requested = gauge("replicas_asked", "Replicas the autoscaling policy asks for.")

    def export(self, plan: dict[str, int], loads: dict[str, GeneratorLoad]) -> None:
        for name, load in loads.items():
            for field, gauge in self._gauges.items():
                gauge.set(getattr(load, field), {"generator": name})
            self._requested.set(plan[name], {"generator": name})


def _open_reader(generators: list[str], gpus: Callable[[], int]) -> QueueReader:
    return QueueReader(StoreSettings().redis_url.get_secret_value(), generators, gpus)
