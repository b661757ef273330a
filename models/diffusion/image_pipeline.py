"""The door to everything that draws: from words, from a picture, inside a mask, of a person.

Requests of any kind may come from any number of threads; the engine lays their steps together.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.diffusion.batching import Engine
from models.diffusion.batching.cost import BatchCost
from models.diffusion.batching.encoder_cache import EncoderCache
from models.diffusion.batching.session import SessionCanceled, open_session
from models.diffusion.loaded_pipeline import Adapters, LoadedPipeline
from models.diffusion.requests import (
    DenoisingStep,
    DiffusionRequest,
    InvalidImages,
    OnStep,
    ResolvedParams,
    SizeNotSupported,
)
from models.diffusion.schedulers import make_scheduler
from models.memory.cache import ModelCache
from models.memory.loader import ModelLoader, quantization_of
from models.profiles.load import Capability, CapabilityConfig, MemoryNeed, Profile

IMAGE_CAPABILITIES = (
    Capability.TEXT_TO_IMAGE,
    Capability.IMAGE_TO_IMAGE,
    Capability.INPAINT,
    Capability.GARMENT,
    Capability.IDENTITY,
    Capability.CONTROL,
)


class ImagePipeline:
    """The drawing capabilities of a profile, on one device."""

    def __init__(
        self,
        profile: Profile,
        model_cache: ModelCache | None = None,
        engine: Engine | None = None,
        capabilities: Iterable[Capability] = IMAGE_CAPABILITIES,
    ) -> None:
        """Nothing is read yet; the first request, or :meth:`warm_up`, reads what it needs.

        ``capabilities`` are those that will be asked for: memory is kept free for their adapters.
        """

        self.profile = profile
        self.model_cache = model_cache or ModelCache.for_device(profile.device)
        self._engine = engine or Engine()
        self._capabilities = set(capabilities)
        self._encoder_cache: EncoderCache = EncoderCache()

    def warm_up(self, capability: Capability = Capability.TEXT_TO_IMAGE) -> None:
        """Read the weights and measure the engine's batches, so that no request pays for it."""
        if capability is not Capability.TEXT_TO_IMAGE:
            self.model_cache.run(self._loader(capability), lambda _: None)
            return
        self.generate(DiffusionRequest(prompt="", seed=0, steps=1))

    def resolve(self, request: DiffusionRequest) -> ResolvedParams:
        """What ``request`` will be made with.

        Raises:
            SizeNotSupported: outside what the profile's weights were made for.
            InvalidImages: the pictures given do not go together.
            CapabilityMissing: the profile does not do what is asked.
        """
        capability = required_capability(request)
        use, model = self.profile.capability_config(capability), self.profile.model(capability)
        base = self.profile.capability_config(Capability.TEXT_TO_IMAGE)
        width = request.width or use.width or base.width or 0
        height = request.height or use.height or base.height or 0
        low, high = (use.min_size or base.min_size or 8), (use.max_size or base.max_size or 8)
        if not all(low <= side <= high for side in (width, height)):
            raise SizeNotSupported(
                f"{width}x{height} is not supported by {model.name}:"
                f" sides of {low} to {high} pixels are"
            )
        guidance = request.guidance
        if guidance is None:
            guidance = use.guidance if use.guidance is not None else base.guidance
        return ResolvedParams(
            model=model.name,
            width=width,
            height=height,
            steps=request.steps or use.steps or base.steps or 20,
            guidance=guidance if guidance is not None else 1.0,
            scheduler=request.scheduler or use.scheduler or base.scheduler or "default",
        )

    def generate(
        self, request: DiffusionRequest, on_step: OnStep | None = None
    ) -> list[Image.Image]:
        """The pictures of ``request``, each what a plain pipeline gives for the same seed.

        The pictures of one request are drawn side by side. ``on_step`` is called after every step
        of each, from several threads; what it raises ends the request and nothing else.

        Raises:
            OutOfMemory: even the next memory plan was not enough.
            SchedulerNotSupported: the model knows no scheduler of that name.
        """
        used = self.resolve(request)
        what = self._loader(required_capability(request))
        return self.model_cache.run(
            what, lambda loaded: self._generate_all(loaded, request, used, on_step)
        )

    def generate_arrays(self, request: DiffusionRequest) -> list[NDArray[np.float32]]:
        """The pictures before they are rounded to 8 bits: (height, width, 3) of 0..1, unmasked."""
        used, what = self.resolve(request), self._loader(required_capability(request))
        return self.model_cache.run(
            what, lambda loaded: self._generate_all(loaded, request, used, output="np")
        )

    def memory_plan(self, request: DiffusionRequest) -> str:
        """The memory plan under which the weights for such requests are held now."""
        key = base_model_key(self.profile, required_capability(request))
        return self.model_cache.stats().plans.get(key, "")

    def batch_costs(self) -> list[BatchCost]:
        """What batching was measured to bring, by kind of network call."""
        return self._engine.batch_costs()

    def close(self) -> None:
        """Stop the engine and forget the weights."""
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
        template = self._variant(loaded, request)
        stopped = threading.Event()
        draw = partial(self._generate_one, template, request, used, on_step, output, stopped)
        if request.count == 1:
            return [draw(0)]
        with ThreadPoolExecutor(request.count, thread_name_prefix="picture") as pool:
            waiting = [pool.submit(draw, index) for index in range(request.count)]
            failed = [error for future in waiting if (error := future.exception()) is not None]
        # The first to fail stops the others, who then say no more than that they were stopped.
        for error in sorted(failed, key=lambda error: isinstance(error, SessionCanceled)):
            raise error
        return [future.result() for future in waiting]

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

        priority = request.priority
        with open_session(
            self._engine, template, self._encoder_cache, priority=priority, calls=used.steps
        ) as seat:
            pipeline = seat.pipeline
            pipeline.scheduler = make_scheduler(used.scheduler, template.scheduler)

            def after_step(pipe: Any, number: int, _: Any, kept: dict[str, Any]) -> dict[str, Any]:
                if stopped.is_set():
                    raise SessionCanceled
                if on_step is not None:
                    latents, total = kept["latents"], pipe.num_timesteps
                    preview = partial(decode_latents, pipe, latents, used.width, used.height)
                    on_step(DenoisingStep(index, number + 1, total, preview))
                return kept

            generator = torch.Generator(self.model_cache.budget.device)
            generator.manual_seed(request.seed + index)
            given = {
                **_image_arguments(
                    request, used, self.profile.capability_config(required_capability(request))
                ),
                "prompt": request.prompt,
                "negative_prompt": request.negative_prompt or None,
                "width": used.width,
                "height": used.height,
                "num_inference_steps": used.steps,
                "guidance_scale": used.guidance,
                "generator": generator,
                "callback_on_step_end": after_step,
                "output_type": output,
            }
            try:
                image = _call_pipeline(pipeline, given).images[0]
            except BaseException:
                stopped.set()
                raise
        masked = request.mask is not None and output == "pil"
        return _paste_inside_mask(image, request) if masked else image

    def _variant(self, loaded: LoadedPipeline, request: DiffusionRequest) -> Any:
        """The pipeline that every seat of such requests is a copy of."""
        capability = required_capability(request)
        use, model = self.profile.capability_config(capability), self.profile.model(capability)
        adapters = Adapters(loras=request.loras)
        if capability is Capability.CONTROL:
            adapters = replace(adapters, control=model)
        elif model.adapter_of is not None:
            scale = request.scale if request.scale is not None else use.scale
            # A twentieth more or less is not seen, and every other scale is one more view.
            scale = round(20 * (1.0 if scale is None else scale)) / 20
            adapters = replace(adapters, ip_adapter=model, scale=scale)
        return loaded.variant(_task(request), adapters)

    def _loader(self, capability: Capability) -> ModelLoader[LoadedPipeline]:
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
        """What the model of ``key`` takes with the adapters it will be asked for."""
        used = {key: self.profile.models[key]}
        for capability in self._capabilities & set(self.profile.capabilities):
            if base_model_key(self.profile, capability) == key:
                name = self.profile.capability_config(capability).model
                used[name] = self.profile.models[name]
        return MemoryNeed(
            components={
                part if name == key else f"{name}.{part}": size
                for name, one in used.items()
                for part, size in one.memory.components.items()
            },
            activations=sum(one.memory.activations for one in used.values()),
            activations_sliced=sum(one.memory.activations_sliced for one in used.values()),
        )


def required_capability(request: DiffusionRequest) -> Capability:
    """What the pictures of ``request`` ask for.

    Raises:
        InvalidImages: they do not go together.
    """
    if request.mask is not None and request.image is None:
        raise InvalidImages("a mask needs the picture it belongs to")
    if request.garment is not None and request.mask is None:
        raise InvalidImages("a garment needs a picture and the mask of what it replaces")
    if request.control is not None and (request.image or request.person):
        raise InvalidImages("a control picture goes with words alone")
    if request.garment is not None:
        return Capability.GARMENT
    if request.person is not None:
        return Capability.IDENTITY
    if request.control is not None:
        return Capability.CONTROL
    if request.mask is not None:
        return Capability.INPAINT
    return Capability.TEXT_TO_IMAGE if request.image is None else Capability.IMAGE_TO_IMAGE


def base_model_key(profile: Profile, capability: Capability) -> str:
    """The key of the model whose pipeline does ``capability``: an adapter's base, or itself."""
    use: CapabilityConfig = profile.capability_config(capability)
    model = profile.models[use.model]
    return model.adapter_of or use.model


def decode_latents(pipeline: Any, latents: Any, width: int, height: int) -> Image.Image:
    """The picture of ``latents``, as they are at any step."""

    config = pipeline.vae.config
    if hasattr(pipeline, "_unpack_latents"):
        latents = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
    with torch.no_grad():
        scaled = latents / config.scaling_factor + (getattr(config, "shift_factor", 0.0) or 0.0)
        decoded = pipeline.vae.decode(scaled, return_dict=False)[0]
    return pipeline.image_processor.postprocess(decoded, output_type="pil")[0]


def _task(request: DiffusionRequest) -> str:
    if request.control is not None:
        return "control"
    if request.mask is not None:
        return "inpaint"
    return "text" if request.image is None else "image"


def _image_arguments(
    request: DiffusionRequest, used: ResolvedParams, use: CapabilityConfig
) -> dict[str, Any]:
    """The pictures of a request as a pipeline takes them, at the size that is drawn."""
    size = (used.width, used.height)
    given: dict[str, Any] = {}
    if request.image is not None:
        given["image"] = request.image.convert("RGB").resize(size)
        usual = use.strength or (1.0 if request.mask is not None else 0.6)
        given["strength"] = request.strength or usual
    if request.mask is not None:
        given["mask_image"] = request.mask.convert("L").resize(size)
    if request.control is not None:
        given["image"] = request.control.convert("RGB").resize(size)
        scale = request.scale if request.scale is not None else use.scale
        given["controlnet_conditioning_scale"] = 1.0 if scale is None else scale
    if (shown := request.garment or request.person) is not None:
        given["ip_adapter_image"] = shown.convert("RGB")
    return given


def _call_pipeline(pipeline: Any, given: dict[str, Any]) -> Any:
    """Call ``pipeline`` with what it knows of ``given``.

    A model that edits by example (FLUX.2, Qwen-Image-Edit) has no adapter: it takes the reference
    as one more picture.
    """

    known = inspect.signature(type(pipeline).__call__).parameters
    if "ip_adapter_image" in given and "ip_adapter_image" not in known:
        shown = [given[name] for name in ("image", "ip_adapter_image") if name in given]
        given = {**given, "image": shown}
    return pipeline(**{name: value for name, value in given.items() if name in known})


def _paste_inside_mask(image: Image.Image, request: DiffusionRequest) -> Image.Image:
    """``image`` inside the mask, the request's own pixels everywhere else."""

    assert request.image is not None and request.mask is not None
    mask = request.mask.convert("L").resize(image.size, Image.Resampling.NEAREST)
    inside = mask.point(lambda value: 255 if value >= 128 else 0)
    return Image.composite(image, request.image.convert("RGB").resize(image.size), inside)
