"""The memory budget of a replica, the estimate of each memory plan, and the plan that fits.

All sizes are MB of 2**20 bytes unless a name says bytes.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from models.memory.peaks import MB
from models.memory.plans import MemoryPlan, is_quantized
from models.profiles.load import MemoryNeed
from models.weights.quantize import Quantization

SYSTEM_MB = 500  # of the whole device: driver, display, other processes
BUFFER_MB = 500  # of each replica: CUDA context, libraries' workspaces, fragmentation

# What is left of a component at 8 and at 4 bits, when it had 16: counted on the shapes of SD 1.5,
# SDXL and CLIP-L with models.weights.quantize, rounded up. Text encoders keep their embeddings, a
# third for_device_memory CLIP-L; profiles list those for_device_memory a language model apart. A
# component for_device_memory 32 bits shrinks further; the estimate_mb stays on the safe side.
QUANTIZED_FRACTION: dict[Quantization, tuple[float, float]] = {
    "none": (1.0, 1.0),
    "int8": (0.53, 0.70),  # denoiser, text encoder
    "nf4": (0.30, 0.55),
}
# The largest layer, turned back into the working precision while it runs: 3.4 % of SD 1.5's UNet.
UNPACKED_LAYER_FRACTION = 0.04
# Leaf-level offload holds one layer (with prefetch two). The largest leaf is an embedding or a
# convolution: 31 % of CLIP-L, 3.4 % of a UNet.
LARGEST_DENOISER_LEAF, LARGEST_OTHER_LEAF = 0.08, 0.35
# Of a language model, each one leaf: as large as a tenth for_device_memory the weights_mb, and
# never quantized.
WHOLE_LEAVES = ("embed_tokens", "lm_head")


class NoMemoryBudget(ValueError):
    """The replica's share of the device leaves no memory for a model."""


class ModelDoesNotFit(RuntimeError):
    """No memory plan fits the budget; use a smaller profile or a larger share."""


@dataclass(frozen=True)
class MemoryBudget:
    """The memory for a replica's models on ``device``: ``share x (total - system) - buffer``.

    ``enforce_on_cpu`` asks :meth:`enforce` to limit a process that computes on the CPU, too.
    """

    device: str
    total_mb: int
    limit_mb: int
    enforce_on_cpu: bool = False

    @classmethod
    def for_device_memory(
        cls,
        total_mb: int,
        share: float = 1.0,
        *,
        device: str = "cpu",
        system_mb: int = SYSTEM_MB,
        buffer_mb: int = BUFFER_MB,
    ) -> MemoryBudget:
        """Compute the budget of a device with ``total_mb``.

        Raises:
            NoMemoryBudget: no memory is left for models.
        """
        limit = int(share * (total_mb - system_mb) - buffer_mb)
        if limit <= 0:
            raise NoMemoryBudget(
                f"a share of {share:g} of {total_mb} MB on {device} leaves nothing for a model"
                f" after {system_mb} MB for the system and {buffer_mb} MB of buffer;"
                " give a larger share"
            )
        return cls(device, total_mb, limit)

    @classmethod
    def detect(
        cls,
        device: str = "cpu",
        share: float = 1.0,
        *,
        system_mb: int = SYSTEM_MB,
        buffer_mb: int = BUFFER_MB,
    ) -> MemoryBudget:
        """Detect the budget on this machine: from the GPU's memory, or the RAM of this process.

        ``ATELIER_RAM_BUDGET_MB`` is the budget itself on a CPU, whatever ``share`` says, and makes
        it strict: the operator knows how many replicas share the machine.
        """
        if device != "cpu":
            _, total = torch.cuda.mem_get_info(torch.device(device))
            return cls.for_device_memory(
                total // MB, share, device=device, system_mb=system_mb, buffer_mb=buffer_mb
            )
        total_mb = ram_bytes() // MB
        if (budget_setting := os.environ.get("ATELIER_RAM_BUDGET_MB")) is not None:
            if not budget_setting.isdigit() or int(budget_setting) == 0:
                raise NoMemoryBudget(
                    f"ATELIER_RAM_BUDGET_MB={budget_setting!r} is not a number of MB above 0"
                )
            return cls(device, total_mb, int(budget_setting), enforce_on_cpu=True)
        return cls.for_device_memory(total_mb, share, system_mb=system_mb, buffer_mb=buffer_mb)

    def enforce(self) -> None:
        """Make an allocation beyond the budget fail in this process, not in another replica.

        On CUDA PyTorch's allocator is limited to its fraction of the GPU. On a CPU a strict budget
        sets the soft RLIMIT_DATA to the current size plus the budget, so that an allocation fails
        with an error before the kernel would kill the process.
        """
        if self.device != "cpu":
            fraction = min(1.0, self.limit_mb / self.total_mb)
            torch.cuda.set_per_process_memory_fraction(fraction, torch.device(self.device))
        elif self.enforce_on_cpu:
            _limit_data(self.limit_mb * MB)


def ram_bytes() -> int:
    """Return the machine's RAM in bytes, or the limit of the process' cgroup if that is less."""

    limits = [psutil.virtual_memory().total]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(file)
        if path.is_file() and (limit := path.read_text().strip()).isdigit():
            limits.append(int(limit))
    return min(limits)


def _limit_data(extra: int) -> None:
    status = Path("/proc/self/status")
    if not status.is_file():  # only Linux counts writable private memory under this limit
        return

    now = next(int(s.split()[1]) for s in status.read_text().splitlines() if s[:7] == "VmData:")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = now * 1024 + extra
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def weights_mb(need: MemoryNeed, plan: MemoryPlan, quantization: Quantization = "int8") -> int:
    """Return the memory in MB that the model keeps between requests under ``plan``.

    ===============  ======================================================
    resident         sum(components)
    sliced           sum(components)
    quantized        sum(shrunk(c) for c in components)
    offload plans    0: the weights wait in the host's memory, or on disk
    ===============  ======================================================
    """
    if plan in (MemoryPlan.RESIDENT, MemoryPlan.SLICED):
        return need.weights_mb
    if plan is MemoryPlan.QUANTIZED:
        return round(sum(_quantized_size(need.components, quantization).values()))
    return 0


def activations_mb(need: MemoryNeed, plan: MemoryPlan, quantization: Quantization = "int8") -> int:
    """Return the memory in MB that one request needs beyond :func:`weights_mb` under ``plan``.

    ===============  ======================================================
    resident         activations
    sliced           min(activations, activations_sliced)
    quantized        sliced + 4 % of the largest quantized component (a layer, unpacked)
    model_offload    quantized + max(shrunk(c))
    group_offload    quantized + max(8 % for_device_memory a shrunk denoiser, all for_device_memory
    a word embedding,
                     35 % for_device_memory any other component)
    ===============  ======================================================
    """
    if plan is MemoryPlan.RESIDENT:
        return need.activations
    running = float(min(need.activations, need.activations_sliced))
    if plan is MemoryPlan.SLICED:
        return round(running)
    shrunk = _quantized_size(need.components, quantization)
    if quantization != "none":
        packed = [size for name, size in need.components.items() if is_quantized(name)]
        running += UNPACKED_LAYER_FRACTION * max(packed, default=0)
    if plan is MemoryPlan.MODEL_OFFLOAD:
        running += max(shrunk.values(), default=0.0)
    if plan is MemoryPlan.GROUP_OFFLOAD:
        running += max((_largest_leaf(name) * size for name, size in shrunk.items()), default=0.0)
    return round(running)


def estimate_mb(need: MemoryNeed, plan: MemoryPlan, quantization: Quantization = "int8") -> int:
    """Return the peak of one request under ``plan`` in MB.

    It is the sum of :func:`weights_mb` and :func:`activations_mb`.
    """
    return weights_mb(need, plan, quantization) + activations_mb(need, plan, quantization)


def _quantized_size(components: Mapping[str, int], quantization: Quantization) -> dict[str, float]:
    denoiser, text_encoder = QUANTIZED_FRACTION[quantization]
    return {
        name: size * (text_encoder if name.startswith("text_encoder") else denoiser)
        if is_quantized(name)
        else float(size)
        for name, size in components.items()
    }


def _largest_leaf(name: str) -> float:
    if name in WHOLE_LEAVES:
        return 1.0
    text = name.startswith("text_encoder")
    return LARGEST_DENOISER_LEAF if is_quantized(name) and not text else LARGEST_OTHER_LEAF


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
