"""Call a family's pipeline with the arguments that this family takes: the one place that does.

``models.profiles.families`` says how families differ. What a request asks for and the model cannot
do is in ``ResolvedParams.ignored``; nothing else may be left out, so a wrong argument raises.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from models.diffusion.instructions import edit_instruction
from models.diffusion.mask_blending import MaskBlending
from models.diffusion.requests import DiffusionRequest, ResolvedParams
from models.profiles.families import Guidance, PipelineFamily, family_of, is_guided
from models.profiles.load import CapabilityConfig

# Classifier-free guidance needs a negative prompt to be switched on in Qwen-Image; its model card
# passes this one where there is none.
_NO_NEGATIVE_PROMPT = " "
# Pipelines that take the size from their picture, which has it.
_FROM_PICTURE = ("width", "height")


def pipeline_arguments(
    pipeline: Any, request: DiffusionRequest, used: ResolvedParams, use: CapabilityConfig
) -> dict[str, Any]:
    """Return the keyword arguments of ``pipeline`` for one picture of ``request``.

    Pictures are PIL images, RGB, resized to ``used``; the mask is 8-bit gray, white where to paint.
    """
    parameters = inspect.signature(type(pipeline).__call__).parameters
    family = family_of(type(pipeline).__name__)
    arguments: dict[str, Any] = {
        "prompt": edit_instruction(request) if family.edits else request.prompt,
        "num_inference_steps": used.steps,
        **{name: getattr(used, name) for name in _FROM_PICTURE if name in parameters},
        **_guidance(family, request, used),
    }
    if request.control is not None:
        along = request.control.convert("RGB").resize((used.width, used.height))
        arguments["control_image" if "control_image" in parameters else "image"] = along
        scale = request.scale if request.scale is not None else use.scale
        arguments["controlnet_conditioning_scale"] = 1.0 if scale is None else scale
        return arguments
    return arguments | _pictures(family, request, used, use, parameters)


def _guidance(
    family: PipelineFamily, request: DiffusionRequest, used: ResolvedParams
) -> dict[str, Any]:
    guided = is_guided(used.guidance)
    negative = {} if "negative_prompt" in used.ignored else _negative_prompt(request)
    match family.guidance:
        case Guidance.CFG:
            scale = used.guidance if guided else min(used.guidance, family.no_guidance)
            return {"guidance_scale": scale, **negative}
        case Guidance.TRUE_CFG if guided:
            return {
                "true_cfg_scale": used.guidance,
                "negative_prompt": _NO_NEGATIVE_PROMPT,
                **negative,
            }
        case Guidance.TRUE_CFG:
            return {"true_cfg_scale": 1.0}
        case Guidance.EMBEDDED:
            return {"guidance_scale": used.guidance}
        case Guidance.NONE:
            return {}


def _negative_prompt(request: DiffusionRequest) -> dict[str, str]:
    return {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}


def _pictures(
    family: PipelineFamily,
    request: DiffusionRequest,
    used: ResolvedParams,
    use: CapabilityConfig,
    parameters: Any,
) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    size = (used.width, used.height)
    if request.image is not None:
        arguments["image"] = request.image.convert("RGB").resize(size)
        if "strength" in parameters:
            default = use.strength or (1.0 if request.mask is not None else 0.6)
            # Of few steps a weak strength leaves none, and pipelines refuse that.
            least = min(1.0, 1.001 / used.steps)
            arguments["strength"] = max(request.strength or default, least)
    if request.mask is not None and "mask_image" in parameters:
        arguments["mask_image"] = request.mask.convert("L").resize(size)
    reference = request.garment or request.person
    if reference is None:
        return arguments
    shown = reference.convert("RGB")
    if not family.edits:
        return {**arguments, "ip_adapter_image": shown}
    if "image_reference" in parameters:
        return {**arguments, "image_reference": shown}
    edited = [arguments["image"]] if "image" in arguments else []
    return {**arguments, "image": [*edited, shown]}


def mask_blending(
    pipeline: Any, request: DiffusionRequest, used: ResolvedParams, generator: torch.Generator
) -> MaskBlending | None:
    """Return what keeps the outside of the request's mask, if ``pipeline`` has no mask of its own.

    That is Qwen-Image-Edit with a reference picture: its inpainting class takes none.
    """
    if request.image is None or request.mask is None:
        return None
    parameters = inspect.signature(type(pipeline).__call__).parameters
    if "mask_image" in parameters or not hasattr(pipeline, "_encode_vae_image"):
        return None
    size = (used.width, used.height)
    return MaskBlending(
        request.image.convert("RGB").resize(size), request.mask.convert("L").resize(size), generator
    )
