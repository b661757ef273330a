"""LoRAs by name: only those the profile lists, and only for the model they were made for."""

from __future__ import annotations

from collections.abc import Mapping

from models.diffusion.adapters import Lora
from models.diffusion.image_pipeline import base_model_key
from models.profiles.load import Capability, Profile
from models.weights.load import require_license


class LoraNotAllowed(ValueError):
    """There is no such LoRA for what is to be drawn; the message lists those there are."""


def select_loras(
    profile: Profile, capability: Capability, asked: Mapping[str, float]
) -> tuple[Lora, ...]:
    """The LoRAs of these names, each at its weight, for what draws ``capability``.

    Raises:
        LoraNotAllowed: see there.
        NonCommercialWeights: one of them may not be used by a paid service.
    """
    base = base_model_key(profile, capability)
    there = profile.loras(base)
    found = []
    for name, weight in asked.items():
        if name not in there:
            names = ", ".join(sorted(there)) or "none"
            raise LoraNotAllowed(
                f"there is no LoRA {name!r} for {profile.models[base].name}; there are: {names}"
            )
        model = there[name]
        require_license(model)
        found.append(
            Lora(
                model.source,
                str(model.weight_name),
                # A twentieth more or less is not seen, and every other weight is one more view.
                round(20 * weight) / 20,
                model.subfolder,
                model.revision,
            )
        )
    return tuple(found)
