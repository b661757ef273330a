"""Apply a profile's model options: quantization, attention kernel, compilation, step cache.

:func:`apply_options` is called once on a freshly loaded model, before its memory plan is applied.
The copies that the engine and the adapters make of a network keep the options, except compilation:
a copy with an adapter runs eagerly.
"""

from __future__ import annotations

import shutil
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel

from models.memory.plans import is_denoiser, is_quantized, pipeline_components
from models.profiles.load import Options
from models.weights.quantize import quantize


class OptionNotAvailable(ValueError):
    """The profile sets an option that this model, device or mode of use does not support."""


def apply_options(model: Any, options: Options, device: str, *, alone: bool = False) -> None:
    """Apply ``options`` in place to ``model``, a pipeline or module on the CPU without a plan.

    ================  ==============================================================================
    ``quantization``  denoiser and text encoders (:mod:`models.weights.quantize`), under every plan;
                      a plan that quantizes leaves them as they are
    ``attention``     flash, cudnn: PyTorch's kernel of that name wherever it can compute the call,
                      its other kernels elsewhere (masks, float32); math: no fused kernel at all
    ``compile``       ``torch.compile`` of the denoiser's repeated blocks, shapes dynamic
    ``step_cache``    first-block cache (ParaAttention, C. Zeyi 2024) with that threshold
    ================  ==============================================================================

    Compiling takes seconds to minutes at the first call of a process and again for the first batch
    of more than one row. ``step_cache`` keeps the last values of one request, so calls of several
    requests must not alternate. It needs ``alone=True``, by which the caller guarantees that one
    request uses the denoiser from its first step to its last and that ``maybe_free_model_hooks`` is
    called after each request (diffusers' pipelines do). The engine cannot guarantee this.

    Raises:
        OptionNotAvailable: the model or device lacks an option; the message says what to change.
    """
    denoisers = [part for name, part in pipeline_components(model).items() if is_denoiser(name)]
    for name, part in pipeline_components(model).items():
        if is_quantized(name):
            quantize(part, options.quantization, device)
    for denoiser in denoisers:
        if options.attention != "sdpa":
            _prefer_attention(denoiser, options.attention, device)
        if options.step_cache:
            _cache_steps(denoiser, options.step_cache, alone)
        if options.compile:
            _compile(denoiser)


def _prefer_attention(denoiser: Any, kernel: str, device: str) -> None:
    """Make ``denoiser`` prefer the attention ``kernel``.

    This subclasses instead of wrapping ``forward``: adapters deep-copy the network, and a wrapped
    ``forward`` would still call the original network.
    """

    if kernel == "cudnn" and device == "cpu":
        raise OptionNotAvailable("attention cudnn needs a CUDA device; take sdpa")
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    order = {
        "math": [SDPBackend.MATH],
        "flash": [*fused, SDPBackend.MATH],
        "cudnn": [SDPBackend.CUDNN_ATTENTION, *fused, SDPBackend.MATH],
    }[kernel]
    kind = type(denoiser)

    def forward(self: Any, *arguments: Any, **options: Any) -> Any:
        with sdpa_kernel(order, set_priority=True):
            return kind.forward(self, *arguments, **options)

    # The subclass keeps the name, because pipelines record each component's class by name.
    denoiser.__class__ = type(
        kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__}
    )


def _cache_steps(denoiser: Any, threshold: float, alone: bool) -> None:
    from diffusers import FirstBlockCacheConfig

    if not alone:
        raise OptionNotAvailable(
            "step_cache keeps what one request computed last, and this model is shared by several;"
            " take it out of the profile"
        )
    if not hasattr(denoiser, "enable_cache"):
        raise OptionNotAvailable(
            f"step_cache is for transformers, not {type(denoiser).__name__};"
            " take it out of the profile"
        )
    denoiser.enable_cache(FirstBlockCacheConfig(threshold=threshold))


def _compile(denoiser: Any) -> None:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        raise OptionNotAvailable("compile needs a C compiler; install gcc or take it out")
    # One compiled block serves all its repetitions. Shapes are dynamic because batch sizes vary.
    if getattr(denoiser, "_repeated_blocks", None):
        denoiser.compile_repeated_blocks(dynamic=True)
    else:
        denoiser.compile(dynamic=True)
