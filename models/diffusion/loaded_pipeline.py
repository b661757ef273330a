"""A loaded diffusion pipeline and its variants: other tasks, adapters, ControlNet."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from models.diffusion import adapters as views
from models.diffusion.adapters import Lora
from models.diffusion.clone import clone_pipeline
from models.diffusion.options import apply_options
from models.memory.plans import MemoryPlan, apply_plan
from models.profiles.load import Model
from models.weights import load as weights_load
from models.weights.quantize import Quantization

OFFLOAD_PLANS = (MemoryPlan.MODEL_OFFLOAD, MemoryPlan.GROUP_OFFLOAD)
DEFAULT_QUANTIZATION: Quantization = "int8"
MAX_VARIANTS = (
    8  # templates kept; one is a tree of modules and its adapters, the weights are shared
)


@dataclass(frozen=True)
class Adapters:
    """The adapters of a request; requests with equal adapters share batches."""

    loras: tuple[Lora, ...] = ()
    ip_adapter: Model | None = None
    scale: float = 1.0  # of the IP-Adapter
    control: Model | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(model.name if model else "" for model in (self.ip_adapter, self.control))


class LoadedPipeline:
    """One set of weights on a device. Templates are made when first asked for."""

    def __init__(self, model: Model) -> None:
        """Read the weights, on the CPU; :meth:`place` is next."""
        self.model, self.pipeline = model, weights_load.load_model(model)
        self._plan = (MemoryPlan.RESIDENT, "cpu", DEFAULT_QUANTIZATION)
        self._lock = threading.Lock()
        self._variants: OrderedDict[Any, Any] = OrderedDict()

    def place(self, plan: MemoryPlan, device: str, kind: Quantization) -> None:
        """Hold the weights on ``device`` as ``plan`` says."""
        self._plan = (plan, device, kind)
        self._place(self.pipeline)

    def _place(self, pipeline: Any) -> None:
        plan, device, kind = self._plan
        apply_options(pipeline, self.model.options, device)
        apply_plan(pipeline, plan, device, kind)

    def variant(self, kind: str, adapters: Adapters = Adapters()) -> Any:
        """Return the pipeline for ``kind`` (text, image, inpaint, control) with these adapters."""
        key = (kind, adapters.loras, adapters.scale, *adapters.names)
        with self._lock:
            if key not in self._variants:
                with weights_load.loading_lock:  # adapters are modules that are built, too
                    self._variants[key] = self._make_variant(kind, adapters)
                while len(self._variants) > MAX_VARIANTS:
                    self._variants.popitem(last=False)
            self._variants.move_to_end(key)
            return self._variants[key]

    def _make_variant(self, kind: str, adapters: Adapters) -> Any:
        # The hooks of an offloaded network belong to one tree of modules and cannot be shared, so
        # an adapted pipeline gets its own weights, which lie in the host's memory or on disk.
        apart = self._plan[0] in OFFLOAD_PLANS and bool(adapters.loras or adapters.ip_adapter)
        made = weights_load.load_model(self.model) if apart else self.pipeline
        if adapters.control is not None:
            made = _with_control(made, adapters.control)
        elif kind != "text":
            made = clone_pipeline(made, _class_for(made, kind))
        if adapters.loras:
            made = views.with_loras(made, adapters.loras)
        if adapters.ip_adapter is not None:
            made = views.with_ip_adapter(made, adapters.ip_adapter, adapters.scale)
        if apart:
            self._place(made)
        return made


def _class_for(pipeline: Any, kind: str) -> Any:
    """Return the diffusers class for the task ``kind`` with the components of ``pipeline``.

    Image editing models have one class for all tasks, and none for masks.
    """
    from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

    auto = AutoPipelineForInpainting if kind == "inpaint" else AutoPipelineForImage2Image
    if kind == "inpaint" and "Inpaint" in type(pipeline).__name__:
        return type(pipeline)
    try:
        return type(auto.from_pipe(pipeline))
    except ValueError:
        if "image" in inspect.signature(type(pipeline).__call__).parameters:
            return type(pipeline)
        raise


def _with_control(pipeline: Any, control: Model) -> Any:
    """Add a ControlNet (Zhang et al. 2023, arXiv:2302.05543) to the pipeline's own denoiser."""
    from diffusers import AutoPipelineForText2Image

    network = weights_load.load_model(control).to(pipeline.device)
    return AutoPipelineForText2Image.from_pipe(pipeline, controlnet=network)
