"""Which models stay loaded, and what happens when the memory runs out."""

import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from models.memory.budget import MemoryBudget
from models.memory.cache import ModelCache
from models.memory.errors import AllModelsInUse, ModelDoesNotFit, OutOfMemory
from models.memory.loader import LoadedModel, ModelLoader
from models.memory.loads import loads_told_to
from models.memory.plans import MemoryPlan
from models.profiles.load import MemoryNeed
from models.weights.quantize import Quantization


class Weights(LoadedModel):
    """Stands for a pipeline: an object that can be watched going away."""

    plan: MemoryPlan

    def __init__(self) -> None:
        super().__init__(None)

    def place(self, plan: MemoryPlan, device: str, quantization: Quantization = "int8") -> None:
        self.plan = plan


class Shelf:
    """Makes models of 40 MB each that take 20 MB more at work, and remembers what it loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.alive: weakref.WeakValueDictionary[str, Weights] = weakref.WeakValueDictionary()

    def model(self, key: str, **need: int) -> ModelLoader[Weights]:
        def load() -> Weights:
            self.loaded.append(key)
            self.alive[key] = weights = Weights()
            return weights

        size = {"weights": 40, "activations": 20, "activations_sliced": 10, **need}
        return ModelLoader(
            key,
            MemoryNeed(
                components={"unet": size["weights"]},
                activations=size["activations"],
                activations_sliced=size["activations_sliced"],
            ),
            load,
        )

    def still(self) -> set[str]:
        gc.collect()
        return set(self.alive)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def residency(limit_mb: int, wait_s: float = 5.0) -> ModelCache:
    return ModelCache(MemoryBudget("cpu", 1000, limit_mb), wait_s)


def touch(models: ModelCache, *wanted: ModelLoader[Weights]) -> None:
    for model in wanted:
        with models.acquire(model):
            pass


def test_whoever_waits_for_a_load_hears_of_it(shelf: Shelf) -> None:
    told: list[tuple[str, bool]] = []
    models, a = residency(100), shelf.model("a")
    with loads_told_to(lambda key, seconds: told.append((key, seconds is not None))):
        touch(models, a, a)
    touch(models, shelf.model("b"))
    assert told == [("a", False), ("a", True)]


def test_the_least_recently_used_model_goes_first(shelf: Shelf) -> None:
    a, b, c, d = (shelf.model(key) for key in "abcd")
    models = residency(140)  # three of 40 MB and the work of one
    touch(models, a, b, c, a, d)
    assert shelf.still() == {"a", "c", "d"}, "b was used longest ago"
    touch(models, a, c, d)
    assert shelf.loaded == ["a", "b", "c", "d"], "what stayed is not loaded again"
    assert (models.stats().loads, models.stats().evictions) == (4, 1)
    assert models.stats().plans == dict.fromkeys("acd", "resident")


def test_a_model_at_work_is_never_evicted(shelf: Shelf) -> None:
    a, b, c = (shelf.model(key) for key in "abc")
    models = residency(140)
    with models.acquire(a):
        touch(models, b, c)
        assert shelf.still() == {"a", "c"}, "a was older, but at work; b had to go"


def test_a_model_waits_for_room_and_takes_it_when_work_ends(shelf: Shelf) -> None:
    a, b = shelf.model("a"), shelf.model("b")
    models = residency(100)
    waiting = threading.Thread(target=touch, args=(models, b))
    with models.acquire(a):
        waiting.start()
        waiting.join(0.2)
        assert shelf.loaded == ["a"], "60 and 60 do not fit in 100"
    waiting.join(120)
    assert shelf.loaded == ["a", "b"]


def test_waiting_for_room_ends_with_a_clear_error(shelf: Shelf) -> None:
    a, b = shelf.model("a"), shelf.model("b")
    models = residency(100, wait_s=0.05)
    with models.acquire(a), pytest.raises(AllModelsInUse, match=r"no room for b .* 60 of 100 MB"):
        touch(models, b)
    touch(models, b)


def test_threads_that_want_the_same_model_load_it_once(shelf: Shelf) -> None:
    model = shelf.model("a")

    def load() -> Weights:
        time.sleep(0.1)
        return model.read()

    once = ModelLoader("a", model.need, load)
    models = residency(100)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: models.run(once, lambda weights: weights), range(8)))
    assert len({id(weights) for weights in got}) == 1
    assert shelf.loaded == ["a"]


def test_a_load_that_fails_is_tried_again_by_the_next_caller(shelf: Shelf) -> None:
    good = shelf.model("a")

    def fail() -> Weights:
        raise OSError("no such file")

    models = residency(100)
    with pytest.raises(OSError, match="no such file"):
        touch(models, ModelLoader("a", good.need, fail))
    touch(models, good)
    assert shelf.loaded == ["a"]


def test_a_model_too_large_for_the_budget_is_refused_and_evicts_nobody(shelf: Shelf) -> None:
    models = residency(100)
    touch(models, shelf.model("a"))
    with pytest.raises(ModelDoesNotFit):
        touch(models, shelf.model("b", activations=500, activations_sliced=500))
    assert shelf.still() == {"a"}


def test_a_model_that_gets_an_adapter_makes_room_for_it(shelf: Shelf) -> None:
    models = residency(110)
    touch(models, shelf.model("other"), shelf.model("model"))
    touch(models, shelf.model("model", weights=60))
    assert shelf.loaded == ["other", "model"], "it is not loaded anew"
    assert shelf.still() == {"model"}


def test_a_model_whose_adapter_needs_another_plan_is_loaded_anew(shelf: Shelf) -> None:
    models = residency(75)
    with models.acquire(shelf.model("model")) as first:
        assert first.plan is MemoryPlan.RESIDENT
    with models.acquire(shelf.model("model", weights=60)) as second:
        assert second.plan is MemoryPlan.SLICED
    assert shelf.loaded == ["model", "model"]


def hungry(*plans: MemoryPlan, error: type[Exception] = torch.OutOfMemoryError) -> Any:
    """Work that runs out of memory under ``plans``, holding a tensor as it does."""

    def work(weights: Weights) -> MemoryPlan:
        held = torch.zeros(1000)
        work.held = weakref.ref(held)  # type: ignore[attr-defined]
        if weights.plan in plans:
            raise error("DefaultCPUAllocator: not enough memory")
        return weights.plan

    return work


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_out_of_memory_falls_to_the_next_plan_and_succeeds(
    shelf: Shelf, error: type[Exception]
) -> None:
    a, b = shelf.model("a"), shelf.model("b")
    models = residency(200)
    touch(models, b)
    work = hungry(MemoryPlan.RESIDENT, error=error)
    assert models.run(a, work) is MemoryPlan.SLICED
    assert shelf.still() == {"a"}, "b, which nobody used, made room"
    assert models.run(a, work) is MemoryPlan.SLICED, "what helped is kept"
    stats = models.stats()
    assert (stats.ooms, stats.plan_changes, stats.plans) == (1, 1, {"a": "sliced"})


def test_a_second_out_of_memory_fails_clearly_and_the_next_job_works(shelf: Shelf) -> None:
    models, a = residency(100), shelf.model("a")
    work = hungry(MemoryPlan.RESIDENT, MemoryPlan.SLICED)
    with pytest.raises(OutOfMemory, match=r"under resident and again under sliced .* 100 MB"):
        models.run(a, work)
    assert work.held() is None, "nothing of the failed work is kept alive"
    assert models.run(a, lambda weights: weights.plan) is MemoryPlan.RESIDENT, (
        "not the model's fault"
    )
    assert models.stats().ooms == 2


def test_a_load_that_runs_out_of_memory_falls_too(shelf: Shelf) -> None:
    a = shelf.model("a")

    class Large(Weights):
        def place(self, plan: MemoryPlan, device: str, quantization: Quantization = "int8") -> None:
            if plan is MemoryPlan.RESIDENT:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().place(plan, device, quantization)

    def read() -> Large:
        shelf.loaded.append("a")
        return Large()

    models = residency(100)
    assert models.run(ModelLoader("a", a.need, read), hungry()) is MemoryPlan.SLICED
    assert shelf.loaded == ["a", "a"]


def test_other_errors_pass_as_they_are_and_leave_the_model(shelf: Shelf) -> None:
    models, a = residency(100), shelf.model("a")
    with pytest.raises(RuntimeError, match="shape mismatch"):
        models.run(a, lambda _: (_ for _ in ()).throw(RuntimeError("shape mismatch")))
    touch(models, a)
    assert (models.stats().ooms, shelf.loaded) == (0, ["a"])


def test_jobs_that_run_out_together_fall_once(shelf: Shelf) -> None:
    models, a = residency(100), shelf.model("a")
    together = threading.Barrier(3)

    def work(weights: Weights) -> MemoryPlan:
        if weights.plan is MemoryPlan.RESIDENT:
            together.wait(120)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return weights.plan

    with ThreadPoolExecutor(3) as pool:
        plans = list(pool.map(lambda _: models.run(a, work), range(3)))
    assert plans == [MemoryPlan.SLICED] * 3
    assert (models.stats().plan_changes, shelf.loaded) == (1, ["a", "a"])


@pytest.fixture
def measured() -> Iterator[ModelCache]:
    yield residency(500)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_estimates_stand_beside_what_was_measured(measured: ModelCache, shelf: Shelf) -> None:
    model = shelf.model("a", weights=64, activations=128)

    class Ones(Weights):
        def __init__(self) -> None:
            super().__init__()
            self.ones = torch.ones(64 * 2**18)

    sixty_four = ModelLoader("a", model.need, Ones)
    peak = measured.run(sixty_four, lambda held: float(torch.cat([held.ones, held.ones]).sum()))
    assert peak == 2 * 64 * 2**18
    (record,) = measured.plan_records()
    assert (record.model, record.plan, record.estimate_mb) == ("a", MemoryPlan.RESIDENT, 192)
    if record.measured_mb is None:
        pytest.skip("this system does not let a process reset its peak")
    assert 170 < record.measured_mb < 230
    assert record.error_percent is not None and abs(record.error_percent) < 20
