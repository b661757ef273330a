"""``QueueDepthPolicy``: the application-level autoscaling policy that Ray Serve's controller calls.

It runs inside the controller's loop, where blocking or raising would stall every application: the
queues are read in a thread, the rest is arithmetic, and whatever goes wrong holds what there is.
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

# A reading that is older is no ground for a decision.
MAX_SNAPSHOT_AGE_S = 5.0
# Until a replica was seen to load.
DEFAULT_LOAD_S = 10.0


class QueueDepthPolicy:
    """Replicas of every listed generator, by the depth of its queue and within the GPUs there are.

    Deployments that are no generators are left alone. Bounds are each deployment's own
    (``min_replicas``, ``max_replicas``); a change of them holds from the next decision on.
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
        """``generators`` are modules, as in the application's arguments; ``gpus`` of None is what
        the cluster has beside nodes that are drained; ``shares`` of a GPU that differ from the
        catalogue's are the same as in the application's arguments; ``rules`` change those of
        :class:`Rules`.

        ``reader`` and ``clock`` stand in for Redis and time in a simulation.
        """

        self._catalog = load_catalog(generators)
        self._gpu, self._gpus, self._shares = gpu, gpus, dict(shares or {})
        self._clock = clock
        self._planner = Planner(Rules(**(rules or {})))
        self._reader = reader
        self._metrics: _Metrics | None = None
        self._asked: dict[str, int] = {}
        self._fresh: bool | None = None  # whether the last reading was; None before the first

    def __call__(self, contexts: Mapping[Any, Any]) -> tuple[dict[Any, int], dict[Any, Any]]:
        """Serve's contexts by deployment in, replicas by deployment out."""
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
        reading = self._latest()
        if reading is None:
            return {key: context.target_num_replicas for key, context in ours.values()}
        terms = {name: self._limits(name, context) for name, (_, context) in ours.items()}
        seen = {name: self._load(name, context, reading) for name, (_, context) in ours.items()}
        plan = self._planner.plan(self._clock(), reading.gpus, terms, seen)
        self._report(plan, seen, reading)
        return {key: plan[name] for name, (key, _) in ours.items()}

    def _latest(self) -> QueueSnapshot | None:
        """The present reading; None while there is none to decide by."""
        if self._reader is None:
            self._reader = _open_reader(list(self._catalog), self._count_gpus)
        reading: QueueSnapshot | None = self._reader.latest()
        fresh = reading is not None and self._clock() - reading.at <= MAX_SNAPSHOT_AGE_S
        if fresh != self._fresh and (fresh or reading is not None):
            if self._fresh is not None:
                told = "resumed" if fresh else "held: there is no reading of the queues"
                logging.getLogger("ray.serve").warning(f"autoscaling {told}")
            self._fresh = fresh
        return reading if fresh else None

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

    def _load(self, name: str, context: Any, reading: QueueSnapshot) -> GeneratorLoad:
        counts, pace = reading.counts[name], reading.timings.get(name, JobTimings())
        job_s = self._catalog[name].expected_seconds if pace.job_s is None else pace.job_s
        load_s = DEFAULT_LOAD_S if pace.load_s is None else pace.load_s
        return GeneratorLoad(
            waiting=0 if counts.paused else counts.waiting,
            active=counts.active,
            target=context.target_num_replicas,
            running=context.current_num_replicas,
            job_s=job_s,
            load_s=load_s,
        )

    def _report(
        self, plan: dict[str, int], seen: dict[str, GeneratorLoad], reading: QueueSnapshot
    ) -> None:
        """Log what changes, with what it was decided by; export everything."""
        for name, replicas in plan.items():
            if self._asked.get(name, seen[name].target) != replicas:
                one = seen[name]
                logging.getLogger("ray.serve").info(
                    f"autoscaling {name}: {one.target} -> {replicas} replicas; waiting "
                    f"{one.waiting}, active {one.active}, running {one.running}, "
                    f"a job {one.job_s:.1f} s, loading {one.load_s:.1f} s, GPUs {reading.gpus}"
                )
        self._asked = plan
        if isinstance(self._reader, QueueReader):
            self._metrics = self._metrics or _Metrics()
            self._metrics.export(plan, seen)


class _Metrics:
    """Gauges of Ray, which its dashboard and Prometheus read."""

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
        self._asked = gauge("replicas_asked", "Replicas the autoscaling policy asks for.")

    def export(self, plan: dict[str, int], seen: dict[str, GeneratorLoad]) -> None:
        for name, one in seen.items():
            for field, gauge in self._gauges.items():
                gauge.set(getattr(one, field), {"generator": name})
            self._asked.set(plan[name], {"generator": name})


def _open_reader(generators: list[str], gpus: Callable[[], int]) -> QueueReader:

    return QueueReader(StoreSettings().redis_url.get_secret_value(), generators, gpus)
