"""The models a replica keeps loaded, within its budget: least recently used goes first.

``ModelCache.run`` is the whole of it for most callers: it loads the model if need be, keeps it from
being evicted while the work runs, and gives work that ran out of memory one more try with the
next memory plan. Every method may be called from any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from opentelemetry import trace

from models.memory.budget import MemoryBudget
from models.memory.errors import AllModelsInUse, OutOfMemory
from models.memory.loader import LoadedModel, ModelLoader
from models.memory.loads import tell_of_load
from models.memory.peaks import MB, PeakTracker, PlanRecord
from models.memory.plans import MemoryPlan
from models.memory.usage import is_out_of_memory, release_memory
from models.schemas.memory import MemoryStats

log = logging.getLogger(__name__)
_TRACER = trace.get_tracer("atelier")

T = TypeVar("T", bound=LoadedModel)
R = TypeVar("R")


@dataclass
class _Entry:
    loader: ModelLoader[Any]
    plan: MemoryPlan
    model: Any = None
    ready: bool = False
    retired: bool = False  # goes with its last user, who comes next loads it anew
    pins: int = 0
    own_bytes: int = 0  # what loading it added to the device

    @property
    def weights_mb(self) -> int:
        return self.loader.weights_mb(self.plan)

    @property
    def activations_mb(self) -> int:
        return self.loader.activations_mb(self.plan)

    @property
    def held_mb(self) -> int:
        """MB: the weights, and the room for a request while one is at work."""
        return self.weights_mb + (self.activations_mb if self.pins else 0)


@dataclass
class _Counts:
    loads: int = 0
    evictions: int = 0
    ooms: int = 0
    plan_changes: int = 0
    load_seconds: float = 0.0
    last_load_seconds: dict[str, float] = field(default_factory=dict)  # by key


@dataclass
class ModelCache:
    """Loaded models on one device. ``wait_timeout_s`` is how long a model waits for others to
    finish.
    """

    budget: MemoryBudget
    wait_timeout_s: float = 300.0
    _entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict, init=False)
    _lowered_plans: dict[str, MemoryPlan] = field(default_factory=dict, init=False)
    _counts: _Counts = field(default_factory=_Counts, init=False)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._peak_tracker = PeakTracker(self.budget.device)

    @classmethod
    def for_device(cls, device: str, share: float = 1.0) -> ModelCache:
        """For this process's share of ``device``, with the budget enforced.

        Raises:
            NoMemoryBudget: the share leaves nothing for a model.
        """
        budget = MemoryBudget.detect(device, share)
        budget.enforce()
        return cls(budget)

    @contextmanager
    def acquire(self, loader: ModelLoader[T]) -> Iterator[T]:
        """The loaded model, which stays loaded inside the ``with``.

        The same model may be used from several threads at once; it is loaded once.

        Raises:
            ModelDoesNotFit: no plan holds it in the budget.
            AllModelsInUse: others kept the memory for ``wait_timeout_s``.
        """
        entry = self._pin(loader)
        try:
            yield entry.model
        finally:
            self._unpin(entry)

    def run(self, loader: ModelLoader[T], work: Callable[[T], R]) -> R:
        """``work(model)``; once more under the next plan if the memory ran out.

        The other models that nobody uses are dropped before the second try. Errors of other
        kinds pass. A plan that helped is kept; if the second try fails too it was the request
        that was too large, and the next one starts where this one did.

        Raises:
            OutOfMemory: it ran out twice, or there is no further plan.
            ModelDoesNotFit, AllModelsInUse: see :meth:`acquire`.
        """
        first = self._plan_for(loader)
        try:
            return self._attempt(loader, work)
        except _AttemptOutOfMemory as ran_out:
            failed, reason = ran_out.plan, ran_out.reason
        # Out of the handler: the traceback it held kept the failed work's tensors alive.
        lower = self._lower_plan(loader, failed)
        if lower is None:
            raise OutOfMemory(
                f"{loader.key} ran out of memory under its last plan ({failed.value}) with a budget"
                f" of {self.budget.limit_mb} MB; ask for a smaller size: {reason}"
            )
        try:
            return self._attempt(loader, work)
        except _AttemptOutOfMemory as ran_out:
            again, reason = ran_out.plan, ran_out.reason
        self._restore_plan(loader, first, again)
        raise OutOfMemory(
            f"{loader.key} ran out of memory under {failed.value} and again under {again.value}"
            f" with a budget of {self.budget.limit_mb} MB; ask for a smaller size: {reason}"
        )

    def stats(self) -> MemoryStats:
        """A snapshot; ``peak`` is the highest since this object was made."""
        now = self._peak_tracker.current_usage()
        with self._changed:
            return MemoryStats(
                device=self.budget.device,
                allocated=now.allocated,
                reserved=now.reserved,
                peak=now.peak,
                budget=self.budget.limit_mb * MB,
                plans={key: e.plan.value for key, e in self._entries.items() if e.ready},
                loads=self._counts.loads,
                evictions=self._counts.evictions,
                ooms=self._counts.ooms,
                plan_changes=self._counts.plan_changes,
                load_seconds=self._counts.load_seconds,
            )

    def loaded_keys(self) -> frozenset[str]:
        """The keys of the models that are loaded or being loaded."""
        with self._changed:
            return frozenset(self._entries)

    def free_mb(self) -> int:
        """The room for another model beside those that are loaded or being loaded."""
        with self._changed:
            return self.budget.limit_mb - sum(entry.held_mb for entry in self._entries.values())

    def last_load_seconds(self) -> dict[str, float]:
        """How long each model took to load when it last was, by key."""
        with self._changed:
            return dict(self._counts.last_load_seconds)

    def plan_records(self) -> list[PlanRecord]:
        """Estimate and measured peak of every plan that was used, for each model.

        Measured are runs that had the process to themselves. On a CPU the process's resident
        memory is all there is to see: within some MB, so it says little of a tiny model.
        """
        return self._peak_tracker.records()

    def evict_idle(self) -> int:
        """Evict every model that nobody uses; how many there were."""
        with self._changed:
            idle = [entry for entry in self._entries.values() if entry.ready and not entry.pins]
            for entry in idle:
                self._evict(entry)
        release_memory(self.budget.device)
        return len(idle)

    # One attempt.

    def _attempt(self, loader: ModelLoader[T], work: Callable[[T], R]) -> R:
        plan = self._plan_for(loader)
        try:
            entry = self._pin(loader)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self._record_out_of_memory(loader, plan, error) from None
        try:
            with self._peak_tracker.measure_run(loader.key, entry.plan, entry.own_bytes):
                return work(entry.model)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise self._record_out_of_memory(loader, entry.plan, error) from None
        finally:
            self._unpin(entry)

    def _record_out_of_memory(
        self, loader: ModelLoader[Any], plan: MemoryPlan, error: Exception
    ) -> _AttemptOutOfMemory:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        log.warning("out of memory: %s under %s: %s", loader.key, plan.value, reason)
        with self._changed:
            self._counts.ooms += 1
        # Its frames hold the tensors that filled the memory; the message is all that is needed.
        error.__traceback__ = None
        return _AttemptOutOfMemory(plan, reason)

    # Plans.

    def _plan_for(self, loader: ModelLoader[Any]) -> MemoryPlan:
        with self._changed:
            if (lowered := self._lowered_plans.get(loader.key)) is not None:
                return lowered
        return loader.choose_plan(self.budget)

    def _lower_plan(self, loader: ModelLoader[Any], failed: MemoryPlan) -> MemoryPlan | None:
        """Go to the plan after ``failed``, unless another thread went there already."""
        plans = loader.available_plans(self.budget.device)
        with self._changed:
            plan = self._plan_for(loader)
            if plan != failed:
                return plan
            later = plans[plans.index(failed) + 1 :]
            if later:
                self._set_plan(loader, later[0])
        self.evict_idle()
        return later[0] if later else None

    def _restore_plan(
        self, loader: ModelLoader[Any], first: MemoryPlan, failed: MemoryPlan
    ) -> None:
        with self._changed:
            if self._lowered_plans.get(loader.key) == failed:
                self._set_plan(loader, first)
        self.evict_idle()

    def _set_plan(self, loader: ModelLoader[Any], plan: MemoryPlan) -> None:
        self._lowered_plans[loader.key] = plan
        self._counts.plan_changes += 1
        log.warning("memory plan of %s is now %s", loader.key, plan.value)
        self._retire(loader.key)

    def _retire(self, key: str) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry.ready:
            entry.retired = True
            if not entry.pins:
                self._evict(entry, counted=False)

    # Entries.

    def _pin(self, loader: ModelLoader[Any]) -> _Entry:
        deadline = time.monotonic() + self.wait_timeout_s
        with self._changed:
            while True:
                self._adopt_need(loader)
                entry = self._entries.get(loader.key)
                if entry is not None and entry.ready and not entry.retired:
                    more = 0 if entry.pins else entry.activations_mb
                    if self._make_room(more, keep=entry):
                        entry.pins += 1
                        self._entries.move_to_end(loader.key)
                        return entry
                elif entry is None:
                    entry = _Entry(loader, self._plan_for(loader))
                    loading = any(not other.ready for other in self._entries.values())
                    # One load at a time: two together would pass through twice the memory.
                    if not loading and self._make_room(entry.weights_mb + entry.activations_mb):
                        entry.pins = 1
                        self._entries[loader.key] = entry
                        break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AllModelsInUse(
                        f"no room for {loader.key} within {self.wait_timeout_s:g} s:"
                        f" models at work hold"
                        f" {sum(other.held_mb for other in self._entries.values())} of"
                        f" {self.budget.limit_mb} MB; try again later, or lower the concurrency"
                    )
        return self._load(entry)

    def _adopt_need(self, loader: ModelLoader[Any]) -> None:
        """Count the loaded model as ``loader`` does: it may be about to get one more adapter.

        If another plan is needed for that, the model goes with its last user and is loaded anew.
        """
        entry = self._entries.get(loader.key)
        if entry is None or not entry.ready or entry.loader.need == loader.need:
            return
        if self._plan_for(loader) != entry.plan:
            self._retire(loader.key)
            return
        self._make_room(loader.weights_mb(entry.plan) - entry.weights_mb, keep=entry)
        entry.loader = loader

    def _load(self, entry: _Entry) -> _Entry:
        loader, started = entry.loader, time.monotonic()
        tell_of_load(loader.key)
        try:
            with (
                _TRACER.start_as_current_span(
                    "load model",
                    attributes={
                        "atelier.model": loader.key,
                        "atelier.memory_plan": entry.plan.value,
                    },
                ),
                self._peak_tracker.measure_load() as added,
            ):
                model = loader.load(entry.plan, self.budget.device)
        except BaseException:
            with self._changed:
                del self._entries[loader.key]
                self._changed.notify_all()
            raise
        seconds = time.monotonic() - started
        log.info("loaded %s in %.1f s under %s", loader.key, seconds, entry.plan.value)
        tell_of_load(loader.key, seconds)
        self._peak_tracker.record_estimate(loader.key, entry.plan, loader.estimate_mb(entry.plan))
        with self._changed:
            entry.model, entry.ready, entry.own_bytes = model, True, added[0]
            self._counts.loads += 1
            self._counts.load_seconds += seconds
            self._counts.last_load_seconds[loader.key] = seconds
            self._changed.notify_all()
        return entry

    def _unpin(self, entry: _Entry) -> None:
        with self._changed:
            entry.pins -= 1
            if not entry.pins:
                entry.model.rest()
            gone = entry.retired and not entry.pins
            if gone:
                self._evict(entry, counted=False)
            self._changed.notify_all()
        if gone:
            release_memory(self.budget.device)

    def _make_room(self, wanted_mb: int, keep: _Entry | None = None) -> bool:
        """Evict, longest unused first, until ``wanted_mb`` are free. False: those left are pinned.

        Nothing is evicted for what would not fit even then.
        """
        free = self.budget.limit_mb - sum(entry.held_mb for entry in self._entries.values())
        idle = [e for e in self._entries.values() if e.ready and not e.pins and e is not keep]
        going: list[_Entry] = []
        while free < wanted_mb and idle:
            going.append(idle.pop(0))
            free += going[-1].held_mb
        if free < wanted_mb:
            return False
        for entry in going:
            self._evict(entry)
        if going:
            release_memory(self.budget.device)
        return True

    def _evict(self, entry: _Entry, counted: bool = True) -> None:
        del self._entries[entry.loader.key]
        entry.model = None
        self._counts.evictions += counted
        log.info("evicted %s", entry.loader.key)
        self._changed.notify_all()


class _AttemptOutOfMemory(Exception):
    """One attempt ran out of memory."""

    def __init__(self, plan: MemoryPlan, reason: str) -> None:
        super().__init__(reason)
        self.plan, self.reason = plan, reason
