"""What ``atelier-admin doctor`` says about cards, PyTorch, the profile and its weights."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass

from atelier_admin import nvidia
from models.profiles.load import KOKORO, Capability, Profile, UnknownProfile, load_profile
from models.profiles.operator_files import InvalidProfileFile
from models.profiles.select import select_profile

_MUCH_IN_USE_MB = 1024


@dataclass(frozen=True)
class Finding:
    """The result of a check; ``is_problem`` of None is a remark."""

    subject: str
    message: str
    is_problem: bool | None = False


def check_gpu() -> Iterator[Finding]:
    """The driver, each card with the memory that others use, and the build of PyTorch."""
    try:
        found, cuda = nvidia.cards(), nvidia.cuda_version()
    except nvidia.DriverFailed as error:
        yield Finding("GPU", f"{error}; a restart of the machine often helps", True)
        return
    if not found:
        yield Finding("GPU", "none: no NVIDIA driver was found", None)
        return
    for card in found:
        busy = card.used_mb > _MUCH_IN_USE_MB
        hint = "; a running service is part of that, all else leaves less for it" if busy else ""
        used = f"{card.total_mb} MiB, {card.used_mb} of it in use{hint}"
        yield Finding("GPU", f"{card.name}, {used}; driver {card.driver}, CUDA up to {cuda}")
    yield _check_torch(found)


def _check_torch(found: list[nvidia.Card]) -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("PyTorch", "not installed; ./scripts/run installs it", True)
    if nvidia.torch_is_for_cpu():
        says = "is the build without CUDA: delete .venv, then ./scripts/run without --cpu"
        return Finding("PyTorch", says, True)
    import torch

    if torch.cuda.is_available():
        return Finding("PyTorch", f"{torch.__version__}, CUDA {torch.version.cuda}, sees the card")
    says = f"{torch.__version__} for CUDA {torch.version.cuda} cannot use the {found[0].name}"
    return Finding("PyTorch", f"{says}: the driver may be older than that CUDA; update it", True)


def check_profile() -> Iterator[Finding]:
    """The profile that runs here, and what of its weights is missing or may not be used."""
    try:
        found = nvidia.cards()
    except nvidia.DriverFailed:
        found = []
    try:
        profile = load_profile(select_profile(os.environ, nvidia.smallest_gb(found)))
    except (UnknownProfile, InvalidProfileFile) as error:
        yield Finding("profile", str(error), True)
        return
    needs_card = profile.device == "cuda" and not found
    lacks = "; it needs an NVIDIA card, and there is none" if needs_card else ""
    yield Finding("profile", f"{profile.name}: {profile.title}{lacks}", needs_card)
    yield from _check_voice(profile)
    yield from _check_weights(profile)


def _check_voice(profile: Profile) -> Iterator[Finding]:
    if profile.model(Capability.SPEECH).loader != KOKORO:
        return
    from models.speech.kokoro.voice import find_obstacle

    obstacle = find_obstacle()
    says = f"eSpeak NG speaks in place of Kokoro: {obstacle}" if obstacle else "Kokoro speaks"
    yield Finding("voice", says, None if obstacle else False)


def _check_weights(profile: Profile) -> Iterator[Finding]:
    # It imports torch, which takes seconds where nothing needs it.
    if importlib.util.find_spec("torch") is None:
        return
    from models.weights.hub import required_models
    from models.weights.licenses import NonCommercialWeights, require_license

    missing = False
    for need in required_models(profile):
        capabilities = [
            capability.value
            for capability, config in profile.capabilities.items()
            if need.key in (config.model, *config.parts.values())
        ]
        used = f" (for {', '.join(capabilities)})" if capabilities else ""
        try:
            require_license(need.model)
        except NonCommercialWeights as error:
            yield Finding("weights", f"{error}{used}", None)
            continue
        if not need.present:
            missing = True
            yield Finding("weights", f"{need.key} is not here{used}", True)
    if missing:
        command = f"atelier-admin models fetch --profile {profile.name}"
        yield Finding("weights", f"fetch them with {command}", None)
