"""A loaded diffusion pipeline and its variants: other tasks, adapters, ControlNet."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from models.diffusion import adapters as views
from models.diffusion.clone import clone_pipeline
from models.diffusion.float32_autoencoder import keep_autoencoder_in_float32
from models.diffusion.options import apply_options
from models.diffusion.pipeline_classes import pipeline_class
from models.diffusion.requests import Lora
from models.memory.loader import DEFAULT_QUANTIZATION, PIPELINE_PLANS, LoadedModel
from models.memory.plans import MemoryPlan
from models.profiles.load import Model
from models.weights import load as weights_load
from models.weights.quantize import Quantization

# Variants kept. One is a tree of modules and its adapters; the weights are shared ...
MAX_VARIANTS = 8
# ... except those of adapted variants under GROUP_OFFLOAD, which fill the host's memory, or disk.
MAX_OWN_WEIGHTS = 2


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
        super().__init__(_read(model))
        self.model = model
        self._plan = (MemoryPlan.RESIDENT, "cpu", DEFAULT_QUANTIZATION)
        self._lock = threading.Lock()
        self._one_request = threading.Lock()
        self._variants: OrderedDict[Any, Any] = OrderedDict()
        self._own_weights: set[Any] = set()  # keys of variants that share none

    def place(
        self,
        plan: MemoryPlan,
        device: str,
        quantization: Quantization = DEFAULT_QUANTIZATION,
        beside: LoadedModel | None = None,
    ) -> None:
        """Give the pipeline its profile's options, then hold it as ``plan`` says."""
        self._plan = (plan, device, quantization)
        apply_options(self.network, self.model.options, device)
        super().place(plan, device, quantization, beside)

    def request(self) -> AbstractContextManager[Any]:
        """Hold this while a request uses the weights.

        Under MODEL_OFFLOAD one request does so at a time: at other steps than the next one's, two
        would have whole networks change places at every step.
        """
        return nullcontext() if self._offload is None else self._one_request

    def variant(self, kind: str, adapters: Adapters = Adapters()) -> Any:
        """Return the pipeline for ``kind`` with these adapters.

        Kinds are text, image, inpaint, garment (inpaint by a reference picture) and control.
        """
        key = (kind, adapters.loras, adapters.scale, *adapters.names)
        with self._lock:
            if key not in self._variants:
                adapted = bool(adapters.loras or adapters.ip_adapter)
                apart = adapted and self._plan[0] is MemoryPlan.GROUP_OFFLOAD
                self._forget_oldest(apart)
                with weights_load.loading_lock:  # adapters are modules that are built, too
                    self._variants[key] = self._make_variant(kind, adapters, apart)
                if apart:
                    self._own_weights.add(key)
            self._variants.move_to_end(key)
            return self._variants[key]

    def _forget_oldest(self, apart: bool) -> None:
        """Make room for one more variant."""
        own = [key for key in self._variants if key in self._own_weights]
        going = own[: max(0, len(own) + 1 - MAX_OWN_WEIGHTS)] if apart else []
        others = [key for key in self._variants if key not in going]
        going += others[: max(0, len(others) + 1 - MAX_VARIANTS)]
        for key in going:
            del self._variants[key]
            self._own_weights.discard(key)

    def _make_variant(self, kind: str, adapters: Adapters, apart: bool) -> Any:
        # The hooks of GROUP_OFFLOAD belong to the layers of one tree of modules, which cannot be
        # viewed: a variant with adapters in its layers is ``apart``, with weights of its own.
        self.rest()  # what is on the device now would stay there as a part of the copy
        made = _read(self.model) if apart else self.network
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
            apply_options(made, self.model.options, self._plan[1])
            LoadedModel(made).place(*self._plan)
        return made

    def _adapter(self, name: str, model: Model, apart: bool) -> Any:
        """The network of ``model``, held as the pipeline beside it is.

        One whose pipeline is ``apart`` is left on the CPU: it is placed with the whole pipeline.
        """
        network = weights_load.load_model(model)
        if not apart:
            LoadedModel({name: network}).place(*self._plan, beside=self)
        return network


def _read(model: Model) -> Any:
    pipeline = weights_load.load_model(model)
    keep_autoencoder_in_float32(pipeline)
    return pipeline


def _with_control(pipeline: Any, controlnet: Any) -> Any:
    """ControlNet (Zhang et al. 2023, arXiv:2302.05543) beside the pipeline's own denoiser."""
    from diffusers import AutoPipelineForText2Image

    return AutoPipelineForText2Image.from_pipe(pipeline, controlnet=controlnet)
