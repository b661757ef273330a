"""Choose the memory plan of a model for a budget."""

from __future__ import annotations

from collections.abc import Iterable

from models.memory.errors import ModelDoesNotFit
from models.memory.estimate import estimate_mb
from models.memory.plans import MemoryPlan
from models.profiles.load import MemoryNeed
from models.weights.quantize import Quantization


def choose_plan(
    need: MemoryNeed,
    budget_mb: int,
    available: Iterable[MemoryPlan] = tuple(MemoryPlan),
    quantization: Quantization = "int8",
) -> MemoryPlan:
    """Return the first of the ``available`` plans whose estimate is within ``budget_mb``.

    Raises:
        ModelDoesNotFit: no plan fits; the message says how much memory is needed.
    """
    offered = set(available)
    estimates = {p: estimate_mb(need, p, quantization) for p in MemoryPlan if p in offered}
    for plan, size in estimates.items():
        if size <= budget_mb:
            return plan
    smallest = min(estimates, key=lambda plan: estimates[plan], default=None)
    if smallest is None:
        raise ModelDoesNotFit("no memory plan is available")
    raise ModelDoesNotFit(
        f"the model needs at least {estimates[smallest]} MB ({smallest.value})"
        f" and there are {budget_mb} MB;"
        " choose a profile for a smaller machine, or give its generator a larger share"
    )
