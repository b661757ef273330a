"""Step-distilled weights: LoRAs fused when a pipeline is loaded, and the noise levels they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.configuration_utils import register_to_config

from models.profiles.load import Distilled, Model

_ADAPTER = "fused"


def fuse_loras(pipeline: Any, loras: Iterable[Model]) -> None:
    """Add each LoRA of ``loras`` to the weights of its component of ``pipeline``, for good.

    ``pipeline`` is on the CPU and not quantized: bits that are gone cannot be added to.
    """
    for lora in loras:
        # The loader puts a LoRA into the pipeline's first denoiser unless it is told otherwise.
        second = {"load_into_transformer_2": True} if lora.fused_into == "transformer_2" else {}
        pipeline.load_lora_weights(
            lora.source,
            subfolder=lora.subfolder or None,
            weight_name=lora.weight_name,
            revision=lora.revision,
            adapter_name=_ADAPTER,
            local_files_only=True,
            use_safetensors=True,
            **second,
        )
        pipeline.fuse_lora(components=[lora.fused_into], adapter_names=[_ADAPTER])
        pipeline.unload_lora_weights()


class DistilledFlowMatchScheduler(FlowMatchEulerDiscreteScheduler):
    """Euler's method at the noise levels that step-distilled weights were trained at.

    Pipelines pass levels of their own, which are ignored. Another number of steps than that of the
    training takes levels between the trained ones.
    """

    noise_seed = 0  # of what a stochastic scheduler adds between the steps

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        trained_sigmas: Sequence[float] = (1.0,),
        stochastic_sampling: bool = False,
    ) -> None:
        super().__init__(num_train_timesteps, stochastic_sampling=stochastic_sampling)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | None = None,
    ) -> None:
        given = sigmas if sigmas is not None else timesteps
        steps = len(given) if given is not None else num_inference_steps or 1
        trained = self.config.trained_sigmas
        levels = np.interp(np.linspace(0, 1, steps), np.linspace(0, 1, len(trained)), trained)
        super().set_timesteps(device=device, sigmas=list(levels))

    def step(self, *args: Any, generator: torch.Generator | None = None, **options: Any) -> Any:
        if generator is None and self.config.stochastic_sampling:
            # Pipelines pass none, and the global one would make another film each time.
            seed = (self.noise_seed << 8) + (self.step_index or 0) + 1
            generator = torch.Generator("cpu").manual_seed(seed)
        return super().step(*args, generator=generator, **options)


def distilled_scheduler(distilled: Distilled, own: Any) -> DistilledFlowMatchScheduler:
    """The scheduler of step-distilled weights in the place of ``own``, that of their base."""
    return DistilledFlowMatchScheduler(
        num_train_timesteps=own.config.num_train_timesteps,
        trained_sigmas=distilled.sigmas,
        stochastic_sampling=distilled.renoise,
    )
