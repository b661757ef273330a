"""What generators do alike at their start: read a picture that was given, make room for models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from PIL.Image import Image

from deployments.contract import BadInput, Context, Runtime
from models.diffusion.requests import InvalidImages, SizeNotSupported
from models.diffusion.schedulers import SchedulerNotSupported
from models.media.images import UnreadableImage, read_image
from models.memory.budget import ModelDoesNotFit
from models.memory.cache import ModelCache, OutOfMemory
from models.profiles.load import CapabilityMissing, Profile, load_profile
from models.weights.load import NonCommercialWeights


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
    try:
        return read_image(context.inputs[name], alpha=alpha)
    except UnreadableImage as error:
        raise BadInput(f"{name}: {error}.", code="unreadable_image") from error


# What the models say of a request that they cannot serve, and the code its owner gets.
_ERROR_CODES: dict[type[Exception], str] = {
    SizeNotSupported: "size_not_supported",
    SchedulerNotSupported: "scheduler_not_supported",
    InvalidImages: "invalid_images",
    CapabilityMissing: "capability_missing",
    NonCommercialWeights: "capability_missing",
    OutOfMemory: "out_of_memory",
    ModelDoesNotFit: "out_of_memory",
}


@contextmanager
def translate_model_errors(more: Mapping[type[Exception], str] | None = None) -> Iterator[None]:
    """Turns what the models refuse into BadInput; ``more`` names further errors and their codes."""
    refusals = {**_ERROR_CODES, **(more or {})}
    try:
        yield
    except tuple(refusals) as error:
        code = next(code for kind, code in refusals.items() if isinstance(error, kind))
        words = str(error).strip("'\"").rstrip(".")
        raise BadInput(words[:1].upper() + words[1:] + ".", code=code) from error


def _use_all_cores() -> None:
    """Ray gives an actor with less than a CPU one thread; a picture is worth them all."""

    torch.set_num_threads(len(os.sched_getaffinity(0)))
