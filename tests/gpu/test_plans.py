"""Memory plans on a GPU: the same picture under each, and a way out when the memory ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.memory.plans import MemoryPlan, apply_plan, available_plans
from models.profiles.load import MemoryNeed
from models.weights.quantize import Quantization
from tests.gpu.drawing import draw, read

PLANS = list(MemoryPlan)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux", "klein"])
def test_every_plan_draws_the_same(
    folders: dict[str, Path], device: str, name: str, plan: MemoryPlan
) -> None:
    quantization = "int8" if plan is MemoryPlan.QUANTIZED else "none"
    if plan not in available_plans(device, quantization):
        pytest.skip(f"{plan.value} is not for {device}")
    reference = draw(read(folders[name]).to(device), 0)
    planned = read(folders[name])
    apply_plan(planned, plan, device, quantization)
    for _ in range(2):  # offloaded parts must come back for the second picture as for the first
        error = np.abs(draw(planned, 0) - reference)
        if plan is MemoryPlan.QUANTIZED:
            assert 0 < error.mean() < 0.05
        else:
            assert error.max() <= 2e-3


def test_out_of_memory_falls_to_the_next_plan_and_the_next_job_works(
    folders: dict[str, Path], device: str
) -> None:
    if device == "cpu":
        pytest.skip("tests/integration/test_memory_of_a_process.py runs out of a CPU's memory")
    import torch

    from models.memory.budget import MemoryBudget
    from models.memory.cache import ModelCache
    from models.memory.errors import OutOfMemory
    from models.memory.loader import LoadedModel, ModelLoader
    from models.memory.peaks import MB

    limit = 1024
    budget = replace(MemoryBudget.detect(device), limit_mb=limit)
    budget.enforce()
    residency = ModelCache(budget)
    plans: list[MemoryPlan] = []

    class Watched(LoadedModel):
        def place(self, plan: MemoryPlan, device: str, quantization: Quantization = "int8") -> None:
            plans.append(plan)
            super().place(plan, device, quantization)

    # An estimate far too low, as that of a request much larger than the default is.
    need = MemoryNeed(components={"unet": 8}, activations=16, activations_sliced=8)
    what = ModelLoader("miniature", need, lambda: Watched(read(folders["sd15"])))

    def job(loaded: Watched) -> Any:
        # More than the budget under the first plan, as a large VAE decode takes; little later.
        size = 2 * limit if plans[-1] is MemoryPlan.RESIDENT else 16
        room = torch.empty(size * MB, dtype=torch.uint8, device=device)
        picture = draw(loaded.network, 0)
        del room
        return picture

    assert residency.run(what, job).shape == (64, 64, 3)
    assert plans == [MemoryPlan.RESIDENT, MemoryPlan.SLICED]
    assert residency.run(what, job).shape == (64, 64, 3)
    assert plans == [
        MemoryPlan.RESIDENT,
        MemoryPlan.SLICED,
    ]  # what helped is kept, nothing was loaded again
    stats = residency.stats()
    assert (stats.ooms, stats.plan_changes) == (1, 1)
    assert stats.peak <= limit * MB

    def too_large(_: Watched) -> None:
        torch.empty(2 * limit * MB, dtype=torch.uint8, device=device)

    with pytest.raises(OutOfMemory):
        residency.run(what, too_large)
    assert residency.run(what, job).shape == (64, 64, 3)
