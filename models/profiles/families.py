"""What the pipelines of each family take, as data: read where a job is submitted and where it runs.

A family is the pipelines of diffusers whose class names begin alike. No torch here: the ingress
refuses by this table what the pipeline call (``models.diffusion.pipeline_call``) cannot pass on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from models.profiles.load import Capability, Profile


class Guidance(StrEnum):
    """How a family follows its prompt more closely."""

    CFG = "guidance_scale"  # classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598)
    TRUE_CFG = "true_cfg_scale"  # the same under another name, switched on by a negative prompt
    EMBEDDED = "embedded"  # the scale is an input of the network, which was distilled to it
    NONE = "none"


@dataclass(frozen=True)
class PipelineFamily:
    """One family: ``prefix`` begins the names of its classes.

    ``edits``: it has no adapters; reference pictures are further inputs, and the prompt is an
    instruction about them. Its image to image is such an edit, and so has no strength.
    ``no_guidance`` is the scale that switches guidance off.
    """

    prefix: str
    guidance: Guidance = Guidance.CFG
    negative_prompt: bool = True
    edits: bool = False
    no_guidance: float = 1.0


_FAMILIES = (
    PipelineFamily("StableDiffusion"),
    PipelineFamily("Flux", Guidance.EMBEDDED, negative_prompt=False),
    PipelineFamily("FluxKontext", Guidance.EMBEDDED, negative_prompt=False, edits=True),
    PipelineFamily("Flux2", Guidance.EMBEDDED, negative_prompt=False, edits=True),
    PipelineFamily("Flux2Klein", negative_prompt=False, edits=True),
    PipelineFamily("Flux2KleinKV", Guidance.NONE, negative_prompt=False, edits=True),
    PipelineFamily("QwenImage", Guidance.TRUE_CFG),
    PipelineFamily("QwenImageEdit", Guidance.TRUE_CFG, edits=True),
    # Any scale above 0 makes its pipeline compute the second half of guidance.
    PipelineFamily("ZImage", no_guidance=0.0),
)
# A pipeline that is not in the table is called as most are.
_OTHER = PipelineFamily("")


def family_of(pipeline_class: str) -> PipelineFamily:
    """Return the family of a diffusers pipeline by its class name: the longest prefix counts."""
    fitting = [family for family in _FAMILIES if pipeline_class.startswith(family.prefix)]
    return max(fitting, key=lambda family: len(family.prefix), default=_OTHER)


def is_guided(guidance: float | None) -> bool:
    """Whether guidance of that scale is switched on; ``None`` is unknown, and counts as on."""
    return guidance is None or guidance > 1.0


def unsupported_parameters(
    profile: Profile, capability: Capability, given: Collection[str]
) -> dict[str, str]:
    """Return which parameters of ``given`` the profile's model for ``capability`` cannot use.

    The names are those of ``models.diffusion.requests.DiffusionRequest``: guidance,
    negative_prompt, strength, scale. Each comes with the reason, a sentence without its period.
    A profile that switches guidance off for a capability says that the weights were distilled to
    draw without it.

    Raises:
        CapabilityMissing: the profile has no model for it.
    """
    use, model = profile.capability_config(capability), profile.model(capability)
    base = profile.models[model.adapter_of] if model.adapter_of else model
    family = family_of(base.loader)
    usual = use.guidance
    if usual is None and Capability.TEXT_TO_IMAGE in profile.capabilities:
        usual = profile.capability_config(Capability.TEXT_TO_IMAGE).guidance
    distilled = not is_guided(usual) or family.guidance is Guidance.NONE
    reasons: dict[str, str] = {}
    if "guidance" in given and distilled:
        reasons["guidance"] = f"{base.name} draws without guidance"
    if "negative_prompt" in given and (distilled or not family.negative_prompt):
        reasons["negative_prompt"] = f"{base.name} takes no negative prompt"
    if "strength" in given and family.edits and capability is Capability.IMAGE_TO_IMAGE:
        reasons["strength"] = f"{base.name} edits pictures by instruction, without a strength"
    adapted = capability in (Capability.IDENTITY, Capability.GARMENT)
    if "scale" in given and family.edits and adapted:
        reasons["scale"] = f"{base.name} has no strength for its reference pictures"
    return reasons
