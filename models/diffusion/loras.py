"""Select LoRAs by name: those the profile lists for the model that runs the request."""

from __future__ import annotations

from collections.abc import Mapping

from models.diffusion.requests import Lora
from models.diffusion.resolve import base_model_key
from models.profiles.load import Capability, Profile
from models.weights.licenses import require_license


class LoraNotAllowed(ValueError):
    """The model has no LoRA of that name; the message lists those it has."""


def select_loras(
    profile: Profile, capability: Capability, asked: Mapping[str, float]
) -> tuple[Lora, ...]:
    """Return the LoRAs named in ``asked``, each at its weight, for the model of ``capability``.

    Raises:
        LoraNotAllowed: the model has no LoRA of that name.
        NonCommercialWeights: the license of one of them forbids commercial use.
    """
    base = base_model_key(profile, capability)
    available = profile.loras(base)
    selected = []
    for name, weight in asked.items():
        if name not in available:
            names = ", ".join(sorted(available)) or "none"
            raise LoraNotAllowed(
                f"there is no LoRA {name!r} for {profile.models[base].name}; there are: {names}"
            )
        model = available[name]
        require_license(model)
        selected.append(
            Lora(
                model.source,
                str(model.weight_name),
                # Steps of 1/20 are invisible, and every other weight would be one more copy.
                round(20 * weight) / 20,
                model.subfolder,
                model.revision,
            )
        )
    return tuple(selected)
