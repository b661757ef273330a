"""``QueueDepthPolicy``: the application-level autoscaling policy that Ray Serve's controller calls.

The policy runs inside the controller's loop, where blocking or raising would stall every
application: a thread reads the queues, the rest is arithmetic, and after an error every deployment
keeps its number of replicas.
"""

# Serve pickles this module by value: nothing in it may hold a lock or a logger at import time.

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from db.settings import StoreSettings
from deployments.autoscaling.node_requests import NodeRequests
from deployments.autoscaling.packing import NodeResources, ReplicaResources, limit_gpus
from deployments.autoscaling.planner import Limits, Load, Planner, Rules
from deployments.autoscaling.queue_reader import QueueReader, QueueSnapshot
from deployments.catalog import load_catalog
from deployments.gpu_manager.names import GPU_MANAGER, GPU_SHARE
from deployments.ray_nodes import available_nodes
from metrics import catalog

# Without a newer snapshot than this, no decision is made.
MAX_SNAPSHOT_AGE_S = 5.0


class QueueDepthPolicy:
    """Chooses the GPU managers and the replicas of every listed generator by the queues' depths.

    Where the cluster may grow (``max_gpus``), it also asks Ray's autoscaler for the GPUs that the
    queued work is worth, and asks for fewer as the work is done; replicas are given only to nodes
    that are there. Other deployments keep their replicas. The bounds are each deployment's own
    (``min_replicas``, ``max_replicas``); a change takes effect with the next decision.
    """

    def __init__(
        self,
        generators: Sequence[str],
        gpu: bool = True,
        max_gpus: int | None = None,
        shares: Mapping[str, float] | None = None,
        replica_cpus: float = 0.5,
        reserved_cpus: float = 0.3,
        rules: Mapping[str, float] | None = None,
        *,
        reader: Any = None,
        requests: NodeRequests | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``generators`` are modules, as in the application's arguments; ``gpu``, ``shares`` and
        ``replica_cpus`` (of a manager as of a generator) are those of the application too.

        ``max_gpus`` is the most GPUs to use and to ask Ray's autoscaler for; None uses those of
        all nodes that are not draining, and asks for no more. ``reserved_cpus`` are those of the
        ingress and of maintenance. ``rules`` replaces values of :class:`Rules`. ``reader``,
        ``requests`` and ``clock`` replace Redis, Ray's autoscaler and time in a simulation.
        """

        self._catalog = load_catalog(generators)
        self._gpu, self._max_gpus, self._shares = gpu, max_gpus, dict(shares or {})
        self._replica_cpus, self._reserved_cpus = replica_cpus, reserved_cpus
        self._clock = clock
        self._planner = Planner(Rules(**(rules or {})))
        self._reader, self._requests = reader, requests
        if reader is None and requests is None:
            self._requests = NodeRequests()
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
            if context.deployment_name in self._catalog or context.deployment_name == GPU_MANAGER
        }
        snapshot = self._latest()
        if snapshot is None:
            return {key: context.target_num_replicas for key, context in ours.values()}
        limits = {name: self._limits(name, context) for name, (_, context) in ours.items()}
        loads = {name: self._load(name, context, snapshot) for name, (_, context) in ours.items()}
        nodes = self._usable_nodes(snapshot)
        plan = self._planner.plan(self._clock(), nodes, limits, loads)
        needed = min(self._planner.needed_gpus(limits, loads), self._max_gpus or 0)
        if self._requests is not None:
            self._requests.ask(needed)
        self._report(plan, loads, nodes, needed)
        return {key: plan[name] for name, (key, _) in ours.items()}

    def _latest(self) -> QueueSnapshot | None:
        """The current snapshot; None if there is none, or it is too old."""
        if self._reader is None:
            self._reader = _open_reader(list(self._catalog))
            # Serve says nothing to a policy that another takes the place of: it drops it.
            weakref.finalize(self, self._reader.close)
        snapshot: QueueSnapshot | None = self._reader.latest()
        fresh = snapshot is not None and self._clock() - snapshot.at <= MAX_SNAPSHOT_AGE_S
        if fresh != self._fresh and (fresh or snapshot is not None):
            if self._fresh is not None:
                state = "resumed" if fresh else "held: there is no reading of the queues"
                logging.getLogger("ray.serve").warning(f"autoscaling {state}")
            self._fresh = fresh
        return snapshot if fresh else None

    def _usable_nodes(self, snapshot: QueueSnapshot) -> list[NodeResources]:
        """The nodes without the CPUs of other deployments, and with at most ``max_gpus`` GPUs."""
        # Ingress and maintenance are on the head, which has the fewest GPUs.
        nodes = sorted(snapshot.nodes, key=lambda node: (node.gpus, -node.cpus))
        if nodes:
            first = nodes[0]
            nodes[0] = NodeResources(first.cpus - self._reserved_cpus, first.gpus)
        return nodes if self._max_gpus is None else limit_gpus(nodes, self._max_gpus)

    def _limits(self, name: str, context: Any) -> Limits:
        share, concurrency, most = GPU_SHARE, 1, context.capacity_adjusted_max_replicas
        if name == GPU_MANAGER:
            most = most if self._gpu else 1  # one is enough for all CPUs
        else:
            spec = self._catalog[name]
            share, concurrency = self._shares.get(name, spec.num_gpus), spec.concurrency
        return Limits(
            ReplicaResources(self._replica_cpus, share if self._gpu else 0.0),
            concurrency,
            context.capacity_adjusted_min_replicas,
            most,
        )

    def _load(self, name: str, context: Any, snapshot: QueueSnapshot) -> Load:
        target, running = context.target_num_replicas, context.current_num_replicas
        if name == GPU_MANAGER:
            return Load(target, running)
        counts = snapshot.counts[name]
        return Load(
            target,
            running,
            waiting=0 if counts.paused else counts.waiting,
            active=counts.active,
            job_s=snapshot.job_s.get(name, self._catalog[name].expected_seconds),
        )

    def _report(
        self,
        plan: dict[str, int],
        loads: dict[str, Load],
        nodes: list[NodeResources],
        needed_gpus: int,
    ) -> None:
        """Log each change with its reasons, and export the metrics."""
        gpus = sum(node.gpus for node in nodes)
        for name, replicas in plan.items():
            if self._requested.get(name, loads[name].target) != replicas:
                load = loads[name]
                logging.getLogger("ray.serve").info(
                    f"autoscaling {name}: {load.target} -> {replicas} replicas; waiting "
                    f"{load.waiting}, active {load.active}, running {load.running}, "
                    f"a job {load.job_s:.1f} s, GPUs {gpus}"
                )
        self._requested = plan
        if isinstance(self._reader, QueueReader):
            _export(plan, loads, gpus, needed_gpus)


def _export(plan: dict[str, int], loads: dict[str, Load], gpus: int, needed_gpus: int) -> None:
    catalog.GPUS.set(gpus)
    catalog.GPUS_ASKED.set(needed_gpus)
    for name, load in loads.items():
        catalog.REPLICAS_ASKED.set(plan[name], generator=name)
        catalog.REPLICAS_RUNNING.set(load.running, generator=name)
        if name != GPU_MANAGER:
            catalog.QUEUE_WAITING.set(load.waiting, generator=name)
            catalog.QUEUE_ACTIVE.set(load.active, generator=name)
            catalog.JOB_SECONDS.set(load.job_s, generator=name)


def _open_reader(generators: list[str]) -> QueueReader:
    return QueueReader(StoreSettings().redis_url.get_secret_value(), generators, available_nodes)
