"""Reading weights from several threads."""

from concurrent.futures import ThreadPoolExecutor

import torch

from models.profiles.load import Capability, load_profile
from models.weights.load import load_model


def test_models_read_in_several_threads_at_once_are_whole() -> None:
    """diffusers builds models with a patch that every thread of the process would feel."""
    profile = load_profile("tiny")
    wanted = (Capability.TEXT_TO_IMAGE, Capability.INPAINT, Capability.HUMAN_PARSING)
    models = [profile.model(capability) for capability in wanted * 3]
    with ThreadPoolExecutor(len(models)) as pool:
        for loaded in pool.map(load_model, models):
            parts = getattr(loaded, "components", {"model": loaded}).values()
            modules = [part for part in parts if isinstance(part, torch.nn.Module)]
            assert modules
            assert not any(p.is_meta for module in modules for p in module.parameters())
