"""A job that does not fit goes on with a slower plan or says why, and the next job works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import DiffusionRequest
from models.memory.budget import MemoryBudget
from models.memory.cache import ModelCache
from models.memory.errors import ModelDoesNotFit, OutOfMemory
from models.profiles.load import Capability, Profile, load_profile
from tests.support.drawing import memory_plans

REQUEST = DiffusionRequest("a big red circle on a blue background", seed=3, steps=3)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("tiny")


def with_budget(profile: Profile, megabytes: int) -> ImagePipeline:
    residency = ModelCache(MemoryBudget("cpu", 24_000, megabytes))
    return ImagePipeline(profile, residency, capabilities=[Capability.TEXT_TO_IMAGE])


@pytest.fixture(scope="module")
def usual(profile: Profile) -> Iterator[np.ndarray[Any, Any]]:
    pictures = with_budget(profile, 4000)
    yield pictures.generate_arrays(REQUEST)[0]
    assert memory_plans(pictures) == ["resident"]
    pictures.close()


def test_a_small_budget_is_met_by_a_slower_plan(
    profile: Profile, usual: np.ndarray[Any, Any]
) -> None:
    pictures = with_budget(profile, 60)  # resident takes 74 MB by the profile, sliced 54
    made = pictures.generate_arrays(REQUEST)[0]
    assert memory_plans(pictures) == ["sliced"]
    assert np.abs(made - usual).max() < 1e-4
    pictures.close()


def test_a_budget_for_nothing_says_what_is_needed(profile: Profile) -> None:
    pictures = with_budget(profile, 1)
    with pytest.raises(ModelDoesNotFit, match="MB"):
        pictures.generate(REQUEST)
    pictures.close()


def test_running_out_goes_on_under_the_next_plan_and_is_counted(
    profile: Profile, usual: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = with_budget(profile, 4000)
    runs_out(monkeypatch, times=1)
    made = pictures.generate_arrays(REQUEST)[0]
    assert np.abs(made - usual).max() < 1e-4
    assert memory_plans(pictures) == ["sliced"]
    assert pictures.model_cache.stats().ooms == 1
    pictures.close()


def test_running_out_twice_fails_clearly_and_the_next_job_works(
    profile: Profile, usual: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = with_budget(profile, 4000)
    runs_out(monkeypatch, times=2)
    with pytest.raises(OutOfMemory, match="ask for a smaller size"):
        pictures.generate(REQUEST)
    assert np.abs(pictures.generate_arrays(REQUEST)[0] - usual).max() < 1e-4
    pictures.close()


def runs_out(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the next ``times`` passes of any UNet run out."""
    from diffusers import UNet2DConditionModel

    real, left = UNet2DConditionModel.forward, [times]

    def forward(self: Any, *arguments: Any, **options: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("no memory")
        return real(self, *arguments, **options)

    monkeypatch.setattr(UNet2DConditionModel, "forward", forward)
