"""Image generation: text to image, image to image, inpainting, and guidance by reference or
control pictures.

Requests of any kind may come from any number of threads; the engine batches their steps.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.diffusion.batching import Engine, lanes_for
from models.diffusion.batching.cost import BatchCost
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.session import SessionCanceled, open_session
from models.diffusion.batching.stats import EngineStats
from models.diffusion.decode import decode_latents
from models.diffusion.loaded_pipeline import Adapters, LoadedPipeline
from models.diffusion.pipeline_call import mask_blending, pipeline_arguments
from models.diffusion.requests import (
    DenoisingStep,
    DiffusionRequest,
    OnStep,
    PicturesBlocked,
    ResolvedParams,
)
from models.diffusion.resolve import (
    IMAGE_CAPABILITIES,
    base_model_key,
    required_capability,
    resolve_request,
)
from models.diffusion.schedulers import make_scheduler
from models.memory.cache import ModelCache
from models.memory.loader import ModelLoader, quantization_of
from models.profiles.load import Capability, MemoryNeed, Profile


class ImagePipeline:
    """The image capabilities of a profile, on one device."""

    def __init__(
        self,
        profile: Profile,
        model_cache: ModelCache | None = None,
        engine: Engine | None = None,
        capabilities: Iterable[Capability] = (),
    ) -> None:
        """Create the pipeline without loading weights.

        The first request, or :meth:`warm_up`, loads the weights it needs. ``capabilities`` are
        those that requests will use: memory is reserved for their adapters from the start. For
        others it is reserved with their first request.
        """

        self.profile = profile
        self.model_cache = model_cache or ModelCache.for_device(profile.device)
        self._engine = engine or Engine(lanes=lanes_for(profile.device))
        self._capabilities = set(capabilities)
        self._encoder_cache: EncoderCache = EncoderCache()

    def warm_up(self, capability: Capability = Capability.TEXT_TO_IMAGE) -> None:
        """Load the weights and draw once, so that no request pays for it."""
        if capability is not Capability.TEXT_TO_IMAGE:
            self.model_cache.run(self._loader(capability), lambda _: None)
            return
        with suppress(PicturesBlocked):  # after one step a safety checker may see anything
            self.generate(DiffusionRequest(prompt="", seed=0, steps=1))

    def resolve(self, request: DiffusionRequest) -> ResolvedParams:
        """See :func:`models.diffusion.resolve.resolve_request`."""
        return resolve_request(self.profile, request)

    def generate(
        self, request: DiffusionRequest, on_step: OnStep | None = None
    ) -> list[Image.Image]:
        """Generate the pictures of ``request``, RGB; each equals a plain pipeline's for its seed.

        The pictures of one request are generated in parallel. ``on_step`` is called after every
        step of each, from several threads; an exception it raises ends this request only.

        Raises:
            OutOfMemory: the memory ran out under the next memory plan as well.
            SchedulerNotSupported: the model has no scheduler of that name.
            PicturesBlocked: a safety checker blanked pictures; it has the others.
        """
        used = self.resolve(request)
        what = self._loader(required_capability(request))
        return self.model_cache.run(
            what, lambda loaded: self._generate_all(loaded, request, used, on_step)
        )

    def generate_arrays(self, request: DiffusionRequest) -> list[NDArray[np.float32]]:
        """Generate pictures as float32 (height, width, 3), RGB 0..1, without pasting the mask."""
        used, what = self.resolve(request), self._loader(required_capability(request))
        return self.model_cache.run(
            what, lambda loaded: self._generate_all(loaded, request, used, output="np")
        )

    def engine_stats(self) -> EngineStats:
        """Return what the engine has computed."""
        return self._engine.stats

    def batch_costs(self) -> list[BatchCost]:
        """Return the measured batch costs, one for each kind of network call."""
        return self._engine.batch_costs()

    def close(self) -> None:
        """Stop the engine and release the weights."""
        self._engine.close()
        self._encoder_cache.clear()
        self.model_cache.evict_idle()

    def _generate_all(
        self,
        loaded: LoadedPipeline,
        request: DiffusionRequest,
        used: ResolvedParams,
        on_step: OnStep | None = None,
        output: str = "pil",
    ) -> list[Any]:
        with loaded.request():
            return self._generate_pictures(loaded, request, used, on_step, output)

    def _generate_pictures(
        self,
        loaded: LoadedPipeline,
        request: DiffusionRequest,
        used: ResolvedParams,
        on_step: OnStep | None,
        output: str,
    ) -> list[Any]:
        template = self._variant(loaded, request)
        stopped = threading.Event()
        generate_one = partial(
            self._generate_one, template, request, used, on_step, output, stopped
        )
        if request.count == 1:
            return _raise_if_blocked([generate_one(0)])
        with ThreadPoolExecutor(request.count, thread_name_prefix="picture") as pool:
            futures = [pool.submit(generate_one, index) for index in range(request.count)]
            errors = [error for future in futures if (error := future.exception()) is not None]
        # The first failure cancels the others, so report it before their SessionCanceled.
        for error in sorted(errors, key=lambda error: isinstance(error, SessionCanceled)):
            raise error
        return _raise_if_blocked([future.result() for future in futures])

    def _generate_one(
        self,
        template: Any,
        request: DiffusionRequest,
        used: ResolvedParams,
        on_step: OnStep | None,
        output: str,
        stopped: threading.Event,
        index: int,
    ) -> Any:
        """Return picture ``index``, or ``None`` if the pipeline's safety checker blanked it."""
        with open_session(
            self._engine,
            template,
            self._encoder_cache,
            priority=request.priority,
            calls=used.steps,
            flow=request.flow,
            label=request.label,
        ) as session:
            pipeline = session.pipeline
            pipeline.scheduler = make_scheduler(used.scheduler, template.scheduler)
            generator = torch.Generator(self.model_cache.budget.device)
            generator.manual_seed(request.seed + index)
            blending = mask_blending(pipeline, request, used, generator)

            def after_step(
                pipe: Any, number: int, _: Any, tensors: dict[str, Any]
            ) -> dict[str, Any]:
                if stopped.is_set():
                    raise SessionCanceled
                if blending is not None:
                    tensors["latents"] = blending(pipe, number, tensors["latents"])
                if on_step is not None:
                    latents, total = tensors["latents"], pipe.num_timesteps
                    preview = partial(decode_latents, pipe, latents, used.width, used.height)
                    on_step(DenoisingStep(index, number + 1, total, preview))
                return tensors

            use = self.profile.capability_config(required_capability(request))
            try:
                made = pipeline(
                    **pipeline_arguments(pipeline, request, used, use),
                    generator=generator,
                    callback_on_step_end=after_step,
                    output_type=output,
                )
            except BaseException:
                stopped.set()
                raise
        if any(getattr(made, "nsfw_content_detected", None) or ()):
            return None
        image = made.images[0]
        if output != "pil":
            return image
        if image.size != (used.width, used.height):  # latents come in patches of 16 pixels and more
            image = image.resize((used.width, used.height), Image.Resampling.LANCZOS)
        return image if request.mask is None else _paste_inside_mask(image, request)

    def _variant(self, loaded: LoadedPipeline, request: DiffusionRequest) -> Any:
        """Return the pipeline that the sessions of such requests are copies of."""
        capability = required_capability(request)
        use, model = self.profile.capability_config(capability), self.profile.model(capability)
        adapters = Adapters(loras=request.loras)
        if capability is Capability.CONTROL:
            adapters = replace(adapters, control=model)
        elif model.adapter_of is not None:
            scale = request.scale if request.scale is not None else use.scale
            # Steps of 1/20 are invisible, and every other scale would be one more adapted copy.
            scale = round(20 * (1.0 if scale is None else scale)) / 20
            adapters = replace(adapters, ip_adapter=model, scale=scale)
        return loaded.variant(_task(request), adapters)

    def _loader(self, capability: Capability) -> ModelLoader[LoadedPipeline]:
        self._capabilities.add(capability)
        key = base_model_key(self.profile, capability)
        model = self.profile.models[key]
        return ModelLoader(
            key,
            self._memory_need(key),
            partial(LoadedPipeline, model),
            quantization_of(model),
            LoadedPipeline.plans,
        )

    def _memory_need(self, key: str) -> MemoryNeed:
        """Return the memory that the model ``key`` needs with its adapters."""
        used = {key: self.profile.models[key]}
        for capability in IMAGE_CAPABILITIES:
            if capability not in self._capabilities or capability not in self.profile.capabilities:
                continue
            if base_model_key(self.profile, capability) == key:
                name = self.profile.capability_config(capability).model
                used[name] = self.profile.models[name]
        return MemoryNeed(
            components={
                part if name == key else f"{name}.{part}": size
                for name, model in used.items()
                for part, size in model.memory.components.items()
            },
            embeddings=self.profile.models[key].memory.embeddings,
            activations=sum(model.memory.activations for model in used.values()),
            activations_sliced=sum(model.memory.activations_sliced for model in used.values()),
        )


def _raise_if_blocked(pictures: list[Any]) -> list[Any]:
    """Return ``pictures``, none of which is ``None``.

    Raises:
        PicturesBlocked: some are.
    """
    there = {index: picture for index, picture in enumerate(pictures) if picture is not None}
    if len(there) < len(pictures):
        raise PicturesBlocked(there)
    return pictures


def _task(request: DiffusionRequest) -> str:
    if request.control is not None:
        return "control"
    if request.mask is not None:
        return "inpaint" if request.garment is None else "garment"
    return "text" if request.image is None else "image"


def _paste_inside_mask(image: Image.Image, request: DiffusionRequest) -> Image.Image:
    """Composite ``image`` inside the mask over the request's own picture."""

    assert request.image is not None and request.mask is not None
    mask = request.mask.convert("L").resize(image.size, Image.Resampling.NEAREST)
    inside = mask.point(lambda value: 255 if value >= 128 else 0)
    return Image.composite(image, request.image.convert("RGB").resize(image.size), inside)
