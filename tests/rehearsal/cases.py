"""What is rehearsed: each capability of each profile, and once what profiles have in common."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from models.profiles.load import Capability, Profile, load_profile, profile_names

# MB that PyTorch reports of the smallest card of a class: 7.78, 11.71, 15.6, 22.03 (an L4), 44.4
# (an L40S) and 79.2 GiB.
REPORTED_MB = {8: 7967, 12: 11994, 16: 15974, 24: 22558, 48: 45457, 80: 81150}

# Of the quick rehearsal: each family of networks once, on the smallest card and on the largest.
QUICK = {
    "rtx3050": ("text_to_image", "control", "image_to_video", "human_parsing", "text"),
    "datacenter": ("text_to_image", "depth", "upscale"),
}
FLAG = "ALLOW_NONCOMMERCIAL_WEIGHTS"


@dataclass(frozen=True)
class Case:
    """One capability of a profile. ``restricted``: by the weights that its operator has to permit,
    in place of those that everybody may use."""

    profile: str
    capability: Capability
    restricted: bool = False
    quick: bool = False

    def load(self) -> Profile:
        """The profile; what is read later in this process is permitted as it was."""
        os.environ.pop(FLAG, None)
        if self.restricted:
            os.environ[FLAG] = "1"
        return load_profile(self.profile)

    @property
    def card_mb(self) -> int:
        return REPORTED_MB[load_profile(self.profile).vram_gb]


def cards() -> list[str]:
    """The profiles of a card, the smallest first."""
    found = [load_profile(name) for name in profile_names()]
    return [p.name for p in sorted(found, key=lambda p: p.vram_gb) if p.device == "cuda"]


def cases(profiles: list[str], quick: bool) -> list[Case]:
    from tests.rehearsal import work

    found = []
    for name in profiles:
        profile = Case(name, Capability.DEPTH).load()
        for capability in work.rehearsed(profile):
            if not quick or capability.value in QUICK.get(name, ()):
                found.append(Case(name, capability, quick=quick))
        if not quick:
            found += [Case(name, capability, restricted=True) for capability in profile.restricted]
    return found


def grouped(wanted: list[Case]) -> list[list[Case]]:
    """Cases that are one: the same weights are asked for the same under the same plans.

    What a network takes does not depend on the card, so the first of a group, which has the
    smallest card, stands for all.
    """
    groups: dict[str, list[Case]] = {}
    for case in wanted:
        groups.setdefault(json.dumps(_asked(case), default=str), []).append(case)
    return list(groups.values())


def _asked(case: Case) -> list[Any]:
    from models.memory.budget import MemoryBudget
    from models.memory.cache import ModelCache
    from tests.rehearsal import work

    profile = case.load()
    use = profile.capability_config(case.capability)
    model = profile.model(case.capability)
    names = [model.name, model.adapter_of, *use.parts.values()]
    weights = [profile.models[name].model_dump() for name in names if name is not None]
    budget = MemoryBudget.for_device_memory(case.card_mb, device="cuda:0")
    with work.worker(profile, case.capability, ModelCache(budget)) as worker:
        plans = worker.loader.available_plans(budget.device)
        chosen = plans.index(worker.loader.choose_plan(budget))
    request = use.model_dump(exclude={"min_size", "max_size"})
    return [case.capability, weights, request, plans[chosen : chosen + 2]]
