"""What a request is drawn with: its capability, its model, and the profile's defaults.

No torch here: a generator asks this before the models are asked to draw.
"""

from __future__ import annotations

from models.diffusion.requests import (
    DiffusionRequest,
    InvalidImages,
    ResolvedParams,
    SizeNotSupported,
)
from models.profiles.families import is_guided, unsupported_parameters
from models.profiles.load import Capability, CapabilityConfig, Profile

IMAGE_CAPABILITIES = (
    Capability.TEXT_TO_IMAGE,
    Capability.IMAGE_TO_IMAGE,
    Capability.INPAINT,
    Capability.GARMENT,
    Capability.IDENTITY,
    Capability.CONTROL,
)


def required_capability(request: DiffusionRequest) -> Capability:
    """Return the capability that the pictures of ``request`` call for.

    Raises:
        InvalidImages: the pictures contradict each other.
    """
    if request.mask is not None and request.image is None:
        raise InvalidImages("a mask needs the picture it belongs to")
    if request.garment is not None and request.mask is None:
        raise InvalidImages("a garment needs a picture and the mask of what it replaces")
    if request.control is not None and (request.image or request.person):
        raise InvalidImages("a control picture goes with words alone")
    if request.garment is not None:
        return Capability.GARMENT
    if request.person is not None:
        return Capability.IDENTITY
    if request.control is not None:
        return Capability.CONTROL
    if request.mask is not None:
        return Capability.INPAINT
    return Capability.TEXT_TO_IMAGE if request.image is None else Capability.IMAGE_TO_IMAGE


def base_model_key(profile: Profile, capability: Capability) -> str:
    """Return the model key of the pipeline for ``capability``: an adapter's base, or the model."""
    use: CapabilityConfig = profile.capability_config(capability)
    model = profile.models[use.model]
    return model.adapter_of or use.model


def resolve_request(profile: Profile, request: DiffusionRequest) -> ResolvedParams:
    """Fill in the defaults of ``profile`` for ``request``.

    Raises:
        SizeNotSupported: a side is outside the range that the profile's weights support.
        InvalidImages: the request's pictures contradict each other.
        CapabilityMissing: the profile has no model for the request.
    """
    capability = required_capability(request)
    use, model = profile.capability_config(capability), profile.model(capability)
    base = profile.capability_config(Capability.TEXT_TO_IMAGE)
    width = request.width or use.width or base.width or 0
    height = request.height or use.height or base.height or 0
    low, high = (use.min_size or base.min_size or 8), (use.max_size or base.max_size or 8)
    if not all(low <= side <= high for side in (width, height)):
        raise SizeNotSupported(
            f"{width}x{height} is not supported by {model.name}:"
            f" sides of {low} to {high} pixels are"
        )
    ignored = _ignored_parameters(profile, capability, request)
    guidance = None if "guidance" in ignored else request.guidance
    if guidance is None:
        guidance = use.guidance if use.guidance is not None else base.guidance
    return ResolvedParams(
        model=model.name,
        width=width,
        height=height,
        steps=request.steps or use.steps or base.steps or 20,
        guidance=guidance if guidance is not None else 1.0,
        scheduler=request.scheduler or use.scheduler or base.scheduler or "default",
        ignored=ignored,
    )


def _ignored_parameters(
    profile: Profile, capability: Capability, request: DiffusionRequest
) -> dict[str, str]:
    """Return what ``request`` asks for and the model cannot do, each with the reason."""
    given = {
        "guidance": request.guidance is not None,
        "negative_prompt": bool(request.negative_prompt),
        "strength": request.strength is not None,
        "scale": request.scale is not None,
    }
    ignored = unsupported_parameters(
        profile, capability, [name for name, is_given in given.items() if is_given]
    )
    if given["negative_prompt"] and not is_guided(request.guidance):
        ignored.setdefault("negative_prompt", "a negative prompt needs a guidance above 1")
    return ignored
