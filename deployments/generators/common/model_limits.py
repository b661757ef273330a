"""What the installed models cannot do of a request: refused at submit, or said in the metadata.

The ingress refuses it where it knows the profile (``GeneratorSpec.unsupported``). A job that came
by all the same is done without, and its notes say so. No torch here: specs import this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from models.profiles.families import is_guided, unsupported_parameters
from models.profiles.load import Capability, Profile

if TYPE_CHECKING:
    pass


def unsupported_fields(
    profile: Profile, capability: Capability, values: Mapping[str, Any], **fields: str
) -> dict[str, str]:
    """Return the fields of a request that the model for ``capability`` cannot follow, with reasons.

    ``values`` are parameters of a drawing by their name in ``models.diffusion.requests``; one that
    is ``None`` or empty is not asked for. ``fields`` are the names that the request has for them,
    where it has another. A capability that the profile lacks is told elsewhere.
    """
    if capability not in profile.capabilities:
        return {}
    given = [name for name, value in values.items() if value not in (None, "")]
    if "guidance" in given and not is_guided(values["guidance"]):
        given.remove("guidance")  # it asks for what such a model does anyway
    reasons = unsupported_parameters(profile, capability, given)
    return {fields.get(name, name): reason for name, reason in reasons.items()}


class PersonRequest(Protocol):
    """A request whose pictures show one person, the same in all of them."""

    @property
    def guidance(self) -> float | None: ...
    @property
    def negative_prompt(self) -> str | None: ...
    @property
    def identity_strength(self) -> float | None: ...


def unsupported_for_person(request: PersonRequest, profile: Profile) -> dict[str, str]:
    """Return what the models of ``profile`` cannot do of ``request``, by field."""
    values = {
        "guidance": request.guidance,
        "negative_prompt": request.negative_prompt,
        "scale": request.identity_strength,
    }
    return unsupported_fields(profile, Capability.IDENTITY, values, scale="identity_strength")
