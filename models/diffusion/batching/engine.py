"""The engine thread: it collects waiting calls, computes them in batches and returns results."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from models.diffusion.batching.call import Call, device_of, join_calls, split_result
from models.diffusion.batching.cost import MAX_ROWS, BatchCost, BatchCosts, synchronize
from models.diffusion.batching.fair_queue import FairQueue
from models.memory.usage import is_out_of_memory, release_memory

logger = logging.getLogger(__name__)

# The engine waits for requests that are between two steps, for this fraction of a batch's time:
# they return within a millisecond, and a batch without them would cost them a whole batch.
LINGER_FRACTION = 0.25
MAX_LINGER_S = 0.05


class EngineClosed(RuntimeError):
    """The engine was closed; the replica is stopping."""


@dataclass(frozen=True)
class EngineStats:
    """Counters since the engine started; ``rows / batches`` is the mean batch size."""

    batches: int = 0
    rows: int = 0
    calls: int = 0
    split_batches: int = 0  # failed as a whole and were computed call by call
    busy_seconds: float = 0.0


class Engine:
    """Computes the calls of every :class:`PipelineSession`, one batch at a time, in its own thread.

    A single thread ensures that one computation at a time uses the device and its workspaces, and
    that the thread pools of several requests do not compete for the CPU's cores.
    """

    def __init__(
        self,
        *,
        max_rows: int = MAX_ROWS,
        calibrate: bool = True,
        on_batch: Callable[[Callable[[], Any]], Any] | None = None,
    ) -> None:
        """Start the thread; ``on_batch`` runs each batch, for example to measure its memory.

        Without ``calibrate`` a batch has all rows that wait, up to ``max_rows``, pay or not.
        """
        self._max_rows, self._calibrate = max_rows, calibrate
        self._on_batch = on_batch
        self.tokenizer_lock = threading.RLock()
        self._changed = threading.Condition()
        self._waiting: list[Call] = []
        self._in_transit = 0  # sessions that are computing between two steps
        self._sequence = 0
        self._fair_queue = FairQueue()
        self._costs = BatchCosts(max_rows)
        self._stats = EngineStats()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="diffusion-engine", daemon=True)
        self._thread.start()

    def call(self, call: Call) -> Any:
        """Submit ``call`` and wait for its result; each session calls this in its own thread.

        Raises:
            EngineClosed: the engine was closed meanwhile.
            BaseException: the network's exception for this call.
        """
        hash(call.group)  # hash here, so that a failure ends this request only
        with self._changed:
            if self._closed:
                raise EngineClosed("the engine is closed")
            self._sequence += 1
            call.sequence = self._sequence
            self._waiting.append(call)
            self._changed.notify()
        call.done.wait()
        if call.error is not None:
            raise call.error
        return call.result

    def drop(self, session: object) -> None:
        """End the waiting calls of ``session`` with an error, because it was canceled."""
        with self._changed:
            dropped = [call for call in self._waiting if call.session is session]
            self._waiting = [call for call in self._waiting if call.session is not session]
        for call in dropped:
            call.finish(error=EngineClosed("the request was cancelled"))

    def set_in_transit(self, by: int) -> None:
        """Count a session that starts (+1) or ends (-1) its work between two steps."""
        with self._changed:
            self._in_transit += by
            if not self._in_transit:
                self._changed.notify()

    @property
    def stats(self) -> EngineStats:
        """The current counters."""
        with self._changed:
            return self._stats

    @property
    def waiting(self) -> int:
        """The number of calls that wait to be computed."""
        with self._changed:
            return len(self._waiting)

    def batch_costs(self) -> list[BatchCost]:
        """Return the measured cost of each network at each size of latents, oldest first."""
        with self._changed:
            return self._costs.known()

    def close(self) -> None:
        """Stop the thread; waiting calls end with :class:`EngineClosed`."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify()
        for call in waiting:
            call.finish(error=EngineClosed("the engine was closed"))
        self._thread.join()

    def _work(self) -> None:
        took: float | None = 0.0
        while took is not None:
            took = self._compute_next(min(LINGER_FRACTION * took, MAX_LINGER_S))

    def _compute_next(self, linger: float) -> float | None:
        """Compute one batch and return its seconds; ``None`` when the engine was closed.

        This is a separate method so that an idle engine holds no calls: they hold weights through
        their sessions, and those weights could not be evicted.
        """
        calls = self._next(linger)
        if not calls:
            return None
        started = time.perf_counter()
        try:
            with torch.no_grad():
                self._compute(calls)
        except BaseException as error:  # a bug of ours must not leave requests waiting
            logger.exception("the engine failed at a batch")
            for call in calls:
                call.finish(error=error)
        took = time.perf_counter() - started
        with self._changed:
            self._fair_queue.charge(calls[0].group, took)
            self._stats = replace(
                self._stats,
                batches=self._stats.batches + 1,
                rows=self._stats.rows + sum(call.rows for call in calls),
                calls=self._stats.calls + len(calls),
                busy_seconds=self._stats.busy_seconds + took,
            )
        return took

    def _next(self, linger: float) -> list[Call]:
        """Take the calls of the next batch off the queue; empty when the engine was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(self._batch_complete, linger)
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return []
            chosen = self._fair_queue.next_batch(self._waiting, self._best_rows)
            taken = set(map(id, chosen))
            self._waiting = [call for call in self._waiting if id(call) not in taken]
            return chosen

    def _batch_complete(self) -> bool:
        full = sum(call.rows for call in self._waiting) >= self._max_rows
        return full or not self._in_transit or self._closed

    def _best_rows(self, call: Call, waiting: int) -> int:
        if not call.batchable:
            return call.rows
        if not self._calibrate:
            return self._costs.most(call.cost_key)
        return self._costs.room(call.cost_key, call.rows, waiting)

    def _compute(self, calls: list[Call]) -> None:
        try:
            results = self._timed_batch(calls)
        except Exception as error:
            if len(calls) == 1:
                calls[0].finish(error=error)
                return
            if is_out_of_memory(error):
                self._remember_limit(calls)
                error.__traceback__ = None  # its frames hold the tensors that filled the memory
                release_memory(str(device_of(calls[0].arguments, calls[0].options)))
            # One bad request must not fail the others, so each is tried alone.
            logger.warning("a batch of %d calls failed (%s); trying each alone", len(calls), error)
            with self._changed:
                self._stats = replace(self._stats, split_batches=self._stats.split_batches + 1)
            for call in calls:
                self._compute([call])
            return
        self.set_in_transit(sum(call.expects_next_call for call in calls))
        for call, result in zip(calls, results, strict=True):
            call.finish(result)

    def _batch(self, calls: list[Call]) -> list[Any]:
        arguments, options = join_calls(calls)

        def forward() -> Any:
            return calls[0].network(*arguments, **options)

        result = forward() if self._on_batch is None else self._on_batch(forward)
        return [result] if len(calls) == 1 else split_result(result, [call.rows for call in calls])

    def _timed_batch(self, calls: list[Call]) -> list[Any]:
        """Compute a batch, and learn what its rows cost until that is known."""
        key, rows = calls[0].cost_key, sum(call.rows for call in calls)
        with self._changed:
            wanted = self._calibrate and calls[0].batchable and self._costs.wants(key, rows)
        if not wanted:
            return self._batch(calls)
        device = device_of(calls[0].arguments, calls[0].options)
        synchronize(device)
        started = time.perf_counter()
        results = self._batch(calls)
        synchronize(device)
        with self._changed:
            self._costs.record(key, rows, time.perf_counter() - started)
        return results

    def _remember_limit(self, calls: list[Call]) -> None:
        rows = max(calls[0].rows, sum(call.rows for call in calls) // 2)
        with self._changed:
            self._costs.limit(calls[0].cost_key, rows)
