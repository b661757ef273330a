"""``ImagePipeline`` beside the plain diffusers pipelines it must equal."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.diffusion.batching import Engine
from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import DiffusionRequest
from models.memory.budget import MemoryBudget
from models.memory.cache import ModelCache
from models.profiles.load import Capability, Model, Profile
from tests.support.miniatures.profile import entry
from tests.support.toy_pipeline import held, until

Array = NDArray[np.float32]
SIDE = 32  # of miniatures' pictures
SIZE = {"width": SIDE, "height": SIDE}

# Written out apart from ``models.diffusion.schedulers``, which is under test with the rest.
_SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (diffusers.DDIMScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "dpm++_2m": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
}


def profile_of(models: dict[str, Model], uses: dict[Capability, str], **defaults: Any) -> Profile:
    """``uses`` says which of ``models`` does what; ``defaults`` are those of every capability."""
    defaults = {
        "steps": 3,
        "guidance": 3.0,
        **SIZE,
        "min_size": SIDE,
        "max_size": 4 * SIDE,
        **defaults,
    }
    return Profile(
        name="miniature",
        title="Miniatures",
        device="cpu",
        models=models,
        capabilities={what: {"model": key, **defaults} for what, key in uses.items()},
    )


@contextmanager
def drawing(profile: Profile, **more: Any) -> Iterator[ImagePipeline]:
    """The door to ``profile``, with room for all, and batches of any size that come together."""
    engine = Engine(**{"calibrate": False, **more})
    pictures = ImagePipeline(profile, ModelCache(MemoryBudget("cpu", 24_000, 8_000)), engine)
    yield pictures
    pictures.close()


def drawn_together(pictures: ImagePipeline, requests: Sequence[DiffusionRequest]) -> list[Array]:
    """All at once: the first call of each is in the queue before any is computed."""
    with ThreadPoolExecutor(len(requests)) as pool:
        pictures.warm_up()
        with held(pictures._engine):
            futures = [pool.submit(pictures.generate_arrays, request) for request in requests]
            until(lambda: pictures._engine.waiting == len(requests))
        return [future.result(120)[0] for future in futures]


def plain(folder: Path, kind: str = "StableDiffusionPipeline", **parts: Any) -> Any:
    """A diffusers pipeline that knows nothing of us."""
    made = getattr(diffusers, kind).from_pretrained(folder, **parts)
    made.set_progress_bar_config(disable=True)
    return made


def plainly_drawn(pipeline: Any, request: DiffusionRequest, **more: Any) -> Array:
    """What ``pipeline`` gives for ``request``; pictures and sizes are given in ``more``."""
    own = pipeline.scheduler
    try:
        if request.scheduler is not None:
            kind, options = _SCHEDULERS[request.scheduler]
            pipeline.scheduler = kind.from_config(own.config, **options)
        array: Array = pipeline(
            prompt=request.prompt,
            **({"negative_prompt": request.negative_prompt} if request.negative_prompt else {}),
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            generator=torch.Generator().manual_seed(request.seed),
            output_type="np",
            **more,
        ).images[0]
    finally:
        pipeline.scheduler = own
    return array


def off(one: Array, other: Array) -> float:
    """The largest difference of any pixel, of 0..1."""
    assert one.shape == other.shape
    assert other.std() > 1e-3, "a picture of nothing equals anything"
    return float(np.abs(one - other).max())


def photo(seed: int = 0, side: int = SIDE) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST)


def right_half(side: int = SIDE) -> Image.Image:
    half = np.zeros((side, side), dtype=np.uint8)
    half[:, side // 2 :] = 255
    return Image.fromarray(half)


def stable_diffusion_profile(folder: Path, **adapters: tuple[Capability, Model]) -> Profile:
    """A Stable Diffusion miniature for all it can do, and ``adapters`` of it."""
    base = entry("StableDiffusionPipeline", folder)
    uses = {
        Capability.TEXT_TO_IMAGE: "base",
        Capability.IMAGE_TO_IMAGE: "base",
        Capability.INPAINT: "base",
    }
    models = {"base": base}
    for name, (capability, model) in adapters.items():
        models[name] = model.model_copy(update={"adapter_of": "base", "name": name})
        uses[capability] = name
    return profile_of(models, uses)


@contextmanager
def passes(*kinds: Any) -> Iterator[list[int]]:
    """The rows of each pass of networks of these classes that the engine makes."""
    rows: list[int] = []

    def note(module: Any, _: Any, output: Any) -> None:
        # A seat's own stand-in is called too, in the seat's thread.
        by_engine = threading.current_thread().name.startswith("diffusion-engine")
        if by_engine and isinstance(module, kinds):
            first = output[0]
            while not torch.is_tensor(first):  # a ControlNet gives a list of residuals
                first = first[0]
            rows.append(len(first))

    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        yield rows
    finally:
        hook.remove()


def memory_plans(pictures: ImagePipeline) -> list[str]:
    """The memory plan of each model that is loaded."""
    return list(pictures.model_cache.stats().plans.values())
