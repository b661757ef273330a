"""A loaded diffusion pipeline and its variants: other tasks, adapters, ControlNet."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from models.diffusion import adapters as views
from models.diffusion.adapters import Lora
from models.diffusion.clone import clone_pipeline
from models.diffusion.options import apply_options
from models.diffusion.pipeline_classes import pipeline_class
from models.memory.loader import DEFAULT_QUANTIZATION, PIPELINE_PLANS, LoadedModel
from models.memory.plans import MemoryPlan
from models.profiles.load import Model
from models.weights import load as weights_load
from models.weights.quantize import Quantization

OFFLOAD_PLANS = (MemoryPlan.MODEL_OFFLOAD, MemoryPlan.GROUP_OFFLOAD)
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


class LoadedPipeline(LoadedModel):
    """One set of weights on a device. Templates are made when first asked for."""

    plans = PIPELINE_PLANS

    def __init__(self, model: Model) -> None:
        """Read the weights, on the CPU."""
        super().__init__(weights_load.load_model(model))
        self.model = model
        self._plan = (MemoryPlan.RESIDENT, "cpu", DEFAULT_QUANTIZATION)
        self._lock = threading.Lock()
        self._variants: OrderedDict[Any, Any] = OrderedDict()

    def place(
        self, plan: MemoryPlan, device: str, quantization: Quantization = DEFAULT_QUANTIZATION
    ) -> None:
        """Give the pipeline its profile's options, then hold it as ``plan`` says."""
        self._plan = (plan, device, quantization)
        apply_options(self.network, self.model.options, device)
        super().place(plan, device, quantization)

    def variant(self, kind: str, adapters: Adapters = Adapters()) -> Any:
        """Return the pipeline for ``kind`` with these adapters.

        Kinds are text, image, inpaint, garment (inpaint by a reference picture) and control.
        """
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
        # The hooks of an offloaded network belong to that one tree of modules and cannot be viewed,
        # and those of MODEL_OFFLOAD to one pipeline: its adapters get weights of their own, which
        # lie in the host's memory or on disk.
        plan, device, _ = self._plan
        apart = plan in OFFLOAD_PLANS and bool(adapters.loras or adapters.ip_adapter)
        apart = apart or (plan is MemoryPlan.MODEL_OFFLOAD and adapters.control is not None)
        made = weights_load.load_model(self.model) if apart else self.network
        if adapters.control is not None:
            made = _with_control(made, self._adapter("controlnet", adapters.control, apart))
        elif kind != "text":
            made = clone_pipeline(made, pipeline_class(made, kind))
        if adapters.loras:
            made = views.with_loras(made, adapters.loras)
        if adapters.ip_adapter is not None:
            encoder = views.image_encoder_of(adapters.ip_adapter)
            beside = self._adapter("image_encoder", encoder, apart)
            made = views.with_ip_adapter(made, adapters.ip_adapter, beside, adapters.scale)
        if apart:
            apply_options(made, self.model.options, device)
            LoadedModel(made).place(*self._plan)
        return made

    def _adapter(self, name: str, model: Model, apart: bool) -> Any:
        """The network of ``model``, held as the pipeline beside it is.

        One whose pipeline is ``apart`` is left on the CPU: it is placed with the whole pipeline.
        """
        network = weights_load.load_model(model)
        if not apart:
            LoadedModel({name: network}).place(*self._plan)
        return network


def _with_control(pipeline: Any, controlnet: Any) -> Any:
    """ControlNet (Zhang et al. 2023, arXiv:2302.05543) beside the pipeline's own denoiser."""
    from diffusers import AutoPipelineForText2Image

    return AutoPipelineForText2Image.from_pipe(pipeline, controlnet=controlnet)
