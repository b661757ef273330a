"""Samplers by the names people know, as diffusers' scheduler classes."""

from __future__ import annotations

from typing import Any

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


class SchedulerNotSupported(ValueError):
    """There is no scheduler of that name, or the model was not trained for it."""


def scheduler_names(own: Any) -> list[str]:
    """The names that fit a model whose own scheduler is ``own``."""
    return [name for name in _SCHEDULERS if (name in _FLOW_SCHEDULERS) == is_flow(own)]


def is_flow(scheduler: Any) -> bool:
    """Whether the model predicts a flow (Liu et al. 2022, arXiv:2209.03003) and not noise."""
    return "FlowMatch" in type(scheduler).__name__


def make_scheduler(name: str, own: Any) -> Any:
    """A fresh scheduler of that name over the configuration of the model's ``own``.

    ``default`` is another instance of the own one.

    Raises:
        SchedulerNotSupported: see there; the message lists the names that fit.
    """
    import diffusers

    if name == "default":
        return type(own).from_config(own.config)
    if name not in scheduler_names(own):
        known = ", ".join(scheduler_names(own))
        raise SchedulerNotSupported(f"no scheduler {name!r} for this model; there are: {known}")
    kind, options = _SCHEDULERS[name]
    return getattr(diffusers, kind).from_config(own.config, **options)
