"""Map the usual sampler names to diffusers' scheduler classes."""

from __future__ import annotations

from typing import Any

from models.diffusion.requests import SchedulerNotSupported
from models.weights.distilled import DistilledFlowMatchScheduler

# name: (diffusers class, options)
_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpm++_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpm++_2m_karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "unipc": ("UniPCMultistepScheduler", {}),
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}),
}
_FLOW_SCHEDULERS = frozenset({"flow_euler"})


def scheduler_names(own: Any) -> list[str]:
    """List the scheduler names that fit a model whose default scheduler is ``own``.

    Step-distilled weights know the noise levels of their own scheduler, and no others.
    """
    if isinstance(own, DistilledFlowMatchScheduler):
        return []
    return [name for name in _SCHEDULERS if (name in _FLOW_SCHEDULERS) == is_flow(own)]


def is_flow(scheduler: Any) -> bool:
    """Whether ``scheduler`` is for flow matching (Liu et al. 2022, arXiv:2209.03003)."""
    return "FlowMatch" in type(scheduler).__name__


def make_scheduler(name: str, own: Any) -> Any:
    """Create the scheduler ``name`` with the configuration of the model's ``own`` scheduler.

    ``default`` creates another instance of ``own``.

    Raises:
        SchedulerNotSupported: the model has no such scheduler; the message lists those it has.
    """
    import diffusers

    if name == "default":
        return type(own).from_config(own.config)
    if name not in scheduler_names(own):
        names = ", ".join(["default", *scheduler_names(own)])
        raise SchedulerNotSupported(f"no scheduler {name!r} for this model; there are: {names}")
    kind, options = _SCHEDULERS[name]
    return getattr(diffusers, kind).from_config(own.config, **options)
