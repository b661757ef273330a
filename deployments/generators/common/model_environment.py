"""What generators do alike at their start: read a picture that was given, make room for models."""

from __future__ import annotations

import os

import torch
from PIL.Image import Image

from deployments.contract import Context, Runtime
from deployments.generators.common.errors import translate_model_errors
from models.media.images import read_image
from models.memory.cache import ModelCache
from models.profiles.load import Profile, load_profile


def open_model_env(runtime: Runtime) -> tuple[Profile, ModelCache]:
    """The replica's profile, and the memory its models share."""
    profile = load_profile(runtime.profile)
    if profile.device == "cpu":
        _use_all_cores()
    share = runtime.num_gpus if profile.device == "cuda" else 1.0
    return profile, ModelCache.for_device(profile.device, share)


def read_input_image(context: Context, name: str, *, alpha: bool = False) -> Image:
    """The picture given at ``name``, upright: RGB, or RGBA with ``alpha``.

    Raises:
        BadInput: it cannot be read; ``code`` is ``unreadable_image``.
    """
    with translate_model_errors(name):
        return read_image(context.inputs[name], alpha=alpha)


def _use_all_cores() -> None:
    """Ray gives an actor with less than a CPU one thread; a picture is worth them all."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
