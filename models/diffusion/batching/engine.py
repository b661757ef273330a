"""The engine: it collects waiting calls, computes them in batches and returns results."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch

from models.cores import usable_cores
from models.diffusion.batching.call import Call, split_result
from models.diffusion.batching.cost import MAX_ROWS, BatchCost, BatchCosts, Layout, synchronize
from models.diffusion.batching.demand import Demand
from models.diffusion.batching.fair_queue import FairQueue
from models.diffusion.batching.stats import EngineStats
from models.diffusion.batching.traced import TracedNetworks
from models.memory.usage import is_out_of_memory, release_memory

logger = logging.getLogger(__name__)

# A lane waits for requests that are between two steps, for this fraction of a batch's time: they
# return within a millisecond, and a batch without them would cost them a whole batch.
LINGER_FRACTION = 0.25
MAX_LINGER_S = 0.05


class EngineClosed(RuntimeError):
    """The engine was closed; the replica is stopping."""


def lanes_for(device: str) -> int:
    """Return how many lanes pay on ``device``: one a core on the CPU, one on anything else."""
    return usable_cores() if device == "cpu" else 1


def without_gradients(device: torch.device) -> AbstractContextManager[Any]:
    """Return the cheapest mode that computes on ``device`` without gradients.

    Inference mode saves a twentieth of a small network's time on a CPU. Hooks that move weights to
    an accelerator during a request do not go with it, because they change tensors of both kinds.
    """
    return torch.inference_mode() if device.type == "cpu" else torch.no_grad()


class Engine:
    """Computes the calls of every :class:`PipelineSession`, each batch in one of its lanes.

    A lane is a thread that computes one batch at a time. An accelerator is used by a single lane:
    one computation at a time has the device and its workspaces. On a CPU there is a lane for each
    core, and :class:`BatchCosts` learns how many of them a kind of call gains from.

    A lane computes with one OpenMP thread, and so do threads of this process that start later:
    schedulers and previews are computed beside the lanes and have no core to themselves.
    """

    def __init__(
        self,
        *,
        lanes: int = 1,
        max_rows: int = MAX_ROWS,
        calibrate: bool = True,
        on_batch: Callable[[Callable[[], Any]], Any] | None = None,
    ) -> None:
        """Start ``lanes`` threads; see :func:`lanes_for`.

        ``on_batch`` runs each batch, for example to measure its memory. Without ``calibrate`` a
        batch has all rows that wait, up to ``max_rows``, pay or not, and every lane computes.
        """
        self._max_rows, self._calibrate = max_rows, calibrate
        self._on_batch = on_batch
        self.tokenizer_lock = threading.RLock()
        self._lock = threading.Lock()
        # The last of them computed last. It is woken first, because its core's cache has the
        # weights, and alone, because every thread that wakes costs the others time.
        self._idle: list[threading.Condition] = []
        self._demand = Demand()
        self._sequence = 0
        self._fair_queue = FairQueue()
        self._costs = BatchCosts(max_rows, lanes, usable_cores())
        self._stats = EngineStats()
        self._traced = TracedNetworks(self._forget_cost)
        self._closed = False
        self._lanes = [
            threading.Thread(target=self._work, name=f"diffusion-engine-{number}", daemon=True)
            for number in range(lanes)
        ]
        for lane in self._lanes:
            lane.start()

    def call(self, call: Call) -> Any:
        """Submit ``call`` and wait for its result; each session calls this in its own thread.

        Raises:
            EngineClosed: the engine was closed meanwhile.
            BaseException: the network's exception for this call.
        """
        hash(call.group)  # hash here, so that a failure ends this request only
        with self._lock:
            if self._closed:
                raise EngineClosed("the engine is closed")
            self._sequence += 1
            call.sequence = self._sequence
            self._demand.transit.pop(call.session, None)
            self._demand.waiting.append(call)
            self._wake()
        call.done.wait()
        if call.error is not None:
            raise call.error
        return call.result

    def drop(self, session: object) -> None:
        """End the waiting calls of ``session`` with an error, because it was canceled."""
        with self._lock:
            dropped = self._demand.drop(session)
        for call in dropped:
            call.fail(EngineClosed("the request was cancelled"))

    def leave_transit(self, session: object) -> None:
        """Do not wait for the next call of ``session``: it has ended."""
        with self._lock:
            if self._demand.transit.pop(session, None):
                self._wake()

    @property
    def stats(self) -> EngineStats:
        """The current counters."""
        with self._lock:
            return self._stats

    @property
    def waiting(self) -> int:
        """The number of calls that wait to be computed."""
        with self._lock:
            return len(self._demand.waiting)

    def batch_costs(self) -> list[BatchCost]:
        """Return the measured cost of each network at each size of latents, oldest first."""
        with self._lock:
            return self._costs.known()

    def close(self) -> None:
        """Stop the lanes; waiting calls end with :class:`EngineClosed`."""
        with self._lock:
            self._closed = True
            waiting, self._demand.waiting = self._demand.waiting, []
            for woken in self._idle:
                woken.notify()
        for call in waiting:
            call.fail(EngineClosed("the engine was closed"))
        for lane in self._lanes:
            lane.join()
        self._traced.close()

    def _wake(self) -> None:
        if self._idle:
            self._idle[-1].notify()

    def _work(self) -> None:
        woken = threading.Condition(self._lock)
        took: float | None = 0.0
        while took is not None:
            took = self._compute_next(woken, min(LINGER_FRACTION * took, MAX_LINGER_S))

    def _compute_next(self, woken: threading.Condition, linger: float) -> float | None:
        """Compute one batch and return its seconds; ``None`` when the engine was closed.

        This is a separate method so that an idle engine holds no calls: they hold weights through
        their sessions, and those weights could not be evicted.
        """
        batch = self._next(woken, linger)
        if batch is None:
            return None
        calls, layout = batch
        started = time.perf_counter()
        try:
            self._compute(calls, layout)
        except BaseException as error:  # a bug of ours must not leave requests waiting
            logger.exception("the engine failed at a batch")
            for call in calls:
                call.error = error
        took = time.perf_counter() - started
        with self._lock:
            self._demand.end(calls)
            self._fair_queue.charge(calls, took)
            self._stats = self._stats.with_batch(calls, took)
            self._wake()
        for call in calls:
            call.done.set()
        return took

    def _next(self, woken: threading.Condition, linger: float) -> tuple[list[Call], Layout] | None:
        """Take the calls of the next batch off the queue; ``None`` when the engine was closed."""
        with self._lock:
            self._idle.append(woken)
            woken.wait_for(lambda: self._closed or self._startable())
            woken.wait_for(self._batch_complete, linger)
            woken.wait_for(lambda: self._closed or self._startable())
            self._idle.remove(woken)
            if self._closed:
                return None
            calls = self._fair_queue.next_batch(
                self._startable(), lambda call, _: self._layout(call).rows
            )
            layout = self._layout(calls[0])
            self._demand.take(calls)
            if self._demand.waiting:
                self._wake()  # another lane may start what is left
            return calls, layout

    def _startable(self) -> list[Call]:
        """Return the waiting calls of kinds that gain from one more lane."""
        kinds: dict[object, bool] = {}
        for call in self._demand.waiting:
            kind = call.cost_key
            if kind not in kinds:
                kinds[kind] = self._demand.lanes(kind) < self._layout(call).lanes
        return [call for call in self._demand.waiting if kinds[call.cost_key]]

    def _batch_complete(self) -> bool:
        if self._closed or not self._demand.transit:
            return True
        return any(
            self._demand.waiting_rows(call.cost_key) >= self._layout(call).rows
            for call in {call.cost_key: call for call in self._startable()}.values()
        )

    def _layout(self, call: Call) -> Layout:
        """Return how calls like ``call`` are computed now."""
        kind = call.cost_key
        if not call.batchable:
            return Layout(len(self._lanes), 1, call.rows)
        if not self._calibrate:
            return Layout(len(self._lanes), 1, self._costs.most(kind))
        return self._costs.layout(kind, call.rows, self._demand.rows(kind))

    def _compute(self, calls: list[Call], layout: Layout) -> None:
        """Set the result or the error of each of ``calls``."""
        try:
            results = self._timed_batch(calls, layout)
        except Exception as error:
            if len(calls) == 1:
                calls[0].error = error
                return
            if is_out_of_memory(error):
                self._remember_limit(calls)
                error.__traceback__ = None  # its frames hold the tensors that filled the memory
                release_memory(str(calls[0].device))
            # One bad request must not fail the others, so each is tried alone.
            logger.warning("a batch of %d calls failed (%s); trying each alone", len(calls), error)
            with self._lock:
                self._stats = replace(self._stats, split_batches=self._stats.split_batches + 1)
            for call in calls:
                self._compute([call], layout)
            return
        for call, result in zip(calls, results, strict=True):
            call.result = result

    def _timed_batch(self, calls: list[Call], layout: Layout) -> list[Any]:
        """Compute a batch, and learn what its rows cost."""
        key, rows, device = calls[0].cost_key, sum(call.rows for call in calls), calls[0].device
        with self._lock:
            # An accelerator must be waited for, so it is timed only until its costs are known.
            wanted = device.type == "cpu" or self._costs.wants(key, rows)
            lanes_before = self._demand.lane_seconds()
        if not (wanted and self._calibrate and calls[0].batchable):
            return self._batch(calls, layout, device)
        synchronize(device)
        started = time.perf_counter()
        results = self._batch(calls, layout, device)
        synchronize(device)
        took = time.perf_counter() - started
        with self._lock:
            lanes = (self._demand.lane_seconds() - lanes_before) / took
            self._costs.record(key, layout, rows, took, lanes)
        return results

    def _batch(self, calls: list[Call], layout: Layout, device: torch.device) -> list[Any]:
        def forward() -> Any:
            return self._traced.compute(calls)

        with _threads(layout.threads, device), without_gradients(device):
            result = forward() if self._on_batch is None else self._on_batch(forward)
            rows = [call.rows for call in calls]
            return [result] if len(calls) == 1 else split_result(result, rows)

    def _forget_cost(self, call: Call) -> None:
        """Learn anew what calls like ``call`` cost: from now on they are computed otherwise."""
        with self._lock:
            self._costs.forget(call.cost_key)

    def _remember_limit(self, calls: list[Call]) -> None:
        rows = max(calls[0].rows, sum(call.rows for call in calls) // 2)
        with self._lock:
            self._costs.limit(calls[0].cost_key, rows)


@contextmanager
def _threads(count: int, device: torch.device) -> Iterator[None]:
    """Have this thread compute with ``count`` OpenMP threads on the CPU, then with one again."""
    if device.type == "cpu":
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if device.type == "cpu" and count > 1:
            torch.set_num_threads(1)  # threads that start later get as many
