"""How weights are loaded: read on the CPU, then held on the device the way the memory plan says.

Every class that holds weights extends :class:`LoadedModel`. A cache is given a
:class:`ModelLoader`, whose :meth:`ModelLoader.load` is the one way to read and place a model, so
that no model can leave out the plan that was chosen for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, Self, TypeVar

from models.memory import estimate
from models.memory.budget import MemoryBudget
from models.memory.choose_plan import choose_plan
from models.memory.component_offload import ComponentOffload
from models.memory.plans import MemoryPlan, apply_plan, available_plans
from models.profiles.load import Capability, MemoryNeed, Model, Profile
from models.weights.quantize import Quantization

# What plans from QUANTIZED on do to the weights of a model whose profile does not say.
DEFAULT_QUANTIZATION: Quantization = "int8"
# Only the components of a pipeline can take turns on the device. A network that is one component
# would need the same room at its peak as under QUANTIZED.
NETWORK_PLANS = tuple(plan for plan in MemoryPlan if plan is not MemoryPlan.MODEL_OFFLOAD)
PIPELINE_PLANS = tuple(MemoryPlan)

# A backend without weights (resampling, eSpeak NG, an outline).
NO_MEMORY = MemoryNeed(components={}, activations=0, activations_sliced=0)

M_co = TypeVar("M_co", bound="LoadedModel", covariant=True)


class LoadedModel:
    """Base of the classes that hold weights.

    ``network`` is what a memory plan is applied to: a diffusers pipeline, a torch module, torch
    modules by name, or ``None`` where a backend has no weights.
    """

    plans: ClassVar[tuple[MemoryPlan, ...]] = NETWORK_PLANS
    _offload: ComponentOffload | None = None  # under MODEL_OFFLOAD

    def __init__(self, network: Any) -> None:
        self.network = network

    def place(
        self,
        plan: MemoryPlan,
        device: str,
        quantization: Quantization = DEFAULT_QUANTIZATION,
        beside: LoadedModel | None = None,
    ) -> None:
        """Hold the weights on ``device`` as ``plan`` says; see :func:`apply_plan`.

        Called once, on a model just read. A change of plan reads it anew. ``beside`` is the model
        that this one is used with: under ``MODEL_OFFLOAD`` the two take turns.
        """
        if self.network is not None:
            offload = None if beside is None else beside._offload
            self._offload = apply_plan(self.network, plan, device, quantization, offload)

    def rest(self) -> None:
        """Drop from the device what the plan keeps there during requests only.

        The cache calls this when no request uses the model.
        """
        if self._offload is not None:
            self._offload.release()


@dataclass(frozen=True)
class ModelLoader(Generic[M_co]):
    """What a cache needs of a model: its name, what it takes, and how it is read.

    ``read`` returns the model on the CPU. It is called anew whenever the model was evicted or its
    plan changes.
    """

    key: str
    need: MemoryNeed
    read: Callable[[], M_co]
    quantization: Quantization = DEFAULT_QUANTIZATION  # of the plans from QUANTIZED on
    plans: tuple[MemoryPlan, ...] = NETWORK_PLANS

    def load(self, plan: MemoryPlan, device: str) -> M_co:
        """Read the weights and hold them on ``device`` as ``plan`` says.

        Raises:
            PlanNotAvailable: not on this device, see :meth:`available_plans`.
            OSError: the weights are not there.
            torch.OutOfMemoryError: the device has no room for them.
        """
        model = self.read()
        model.place(plan, device, self.quantization)
        return model

    def available_plans(self, device: str) -> tuple[MemoryPlan, ...]:
        """The plans that ``device`` can hold this model by, the fastest first."""
        offered = available_plans(device, self.quantization)
        return tuple(plan for plan in offered if plan in self.plans)

    def choose_plan(self, budget: MemoryBudget) -> MemoryPlan:
        """The fastest plan whose estimate is within ``budget``.

        Raises:
            ModelDoesNotFit: none is.
        """
        plans = self.available_plans(budget.device)
        return choose_plan(self.need, budget.limit_mb, plans, self.quantization)

    def weights_mb(self, plan: MemoryPlan) -> int:
        """What the model keeps on the device between requests under ``plan``."""
        return estimate.weights_mb(self.need, plan, self.quantization)

    def activations_mb(self, plan: MemoryPlan) -> int:
        """What one request takes beyond the weights under ``plan``."""
        return estimate.activations_mb(self.need, plan, self.quantization)

    def estimate_mb(self, plan: MemoryPlan) -> int:
        """The peak of one request under ``plan``."""
        return estimate.estimate_mb(self.need, plan, self.quantization)


def quantization_of(model: Model) -> Quantization:
    """What plans from QUANTIZED on do to the weights of ``model``: what its options ask for."""
    asked = model.options.quantization
    return DEFAULT_QUANTIZATION if asked == "none" else asked


class CapabilityModel(LoadedModel):
    """Base of the models that do one capability of a profile.

    A subclass names its ``capability`` and implements :meth:`read`; where the memory it takes is
    not that of the profile's entry alone, it overrides :meth:`memory_need`.
    """

    capability: ClassVar[Capability]

    @classmethod
    def read(cls, profile: Profile) -> Self:
        """The model of ``profile``, its weights on the CPU."""
        raise NotImplementedError(f"{cls.__name__} does not say how it is read")

    @classmethod
    def cache_key(cls, profile: Profile) -> str:
        """The name of the model in a cache, in logs and in metrics."""
        return cls.capability.value

    @classmethod
    def memory_need(cls, profile: Profile) -> MemoryNeed:
        """What the model takes at its full precision."""
        return profile.model(cls.capability).memory

    @classmethod
    def quantization(cls, profile: Profile) -> Quantization:
        """See :func:`quantization_of`."""
        if cls.capability not in profile.capabilities:
            return DEFAULT_QUANTIZATION
        return quantization_of(profile.model(cls.capability))

    @classmethod
    def loader(cls, profile: Profile) -> ModelLoader[Self]:
        """How a cache loads the model of ``profile``. Nothing is read yet.

        Raises:
            CapabilityMissing: the profile names no model for it.
        """
        return ModelLoader(
            key=cls.cache_key(profile),
            need=cls.memory_need(profile),
            read=partial(cls.read, profile),
            quantization=cls.quantization(profile),
            plans=cls.plans,
        )
