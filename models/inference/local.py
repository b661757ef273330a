"""``LocalInference``: the models in this process, on one device."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from PIL.Image import Image

from models.diffusion.batching import Engine, SessionCanceled
from models.diffusion.batching.stats import EngineStats
from models.diffusion.image_pipeline import ImagePipeline
from models.diffusion.requests import DenoisingStep, DiffusionRequest
from models.diffusion.resolve import IMAGE_CAPABILITIES, base_model_key
from models.diffusion.video.pipeline import ImageToVideo
from models.diffusion.video.requests import GeneratedVideo, VideoRequest
from models.inference.inference import (
    NOBODY,
    Caller,
    DrawingProgress,
    Inference,
    LoadedModels,
    ModelLoad,
    OnEvent,
    OnModelLoad,
    Operation,
    Progress,
    R,
    ignore_event,
    ignore_load,
)
from models.inference.operations import (
    ComparePerson,
    Draw,
    EstimateDepth,
    GenerateMesh,
    GenerateVideo,
    LikenessThreshold,
    LookAtPerson,
    ParsePerson,
    Speak,
    Upscale,
    Write,
)
from models.memory.cache import ModelCache
from models.memory.card import card_stats
from models.memory.loader import CapabilityModel
from models.memory.loads import loads_told_to
from models.mesh.shap_e import MeshGenerator
from models.profiles.load import Capability, Profile
from models.schemas.memory import MemoryStats
from models.speech.narrator import Narrator
from models.vision.depth import DepthEstimator
from models.vision.human_parser import HumanParser
from models.vision.identity import IdentityScorer
from models.vision.upscale import Upscaler
from models.writing.writer import Writer

PREVIEW_INTERVAL_S = 1.0
# Of the capabilities that draw nothing.
_MODELS: dict[Capability, type[CapabilityModel]] = {
    model.capability: model
    for model in (
        ImageToVideo,
        HumanParser,
        DepthEstimator,
        MeshGenerator,
        IdentityScorer,
        Upscaler,
        Narrator,
        Writer,
    )
}

log = logging.getLogger(__name__)


class LocalInference(Inference):
    """The models of ``profile`` in this process.

    Models are loaded when an operation needs them and stay until others need their room. Pictures
    of all callers share denoising steps.
    """

    def __init__(
        self,
        profile: Profile,
        model_cache: ModelCache | None = None,
        engine: Engine | None = None,
        is_watched: Callable[[str], bool] = lambda job: True,
    ) -> None:
        """``is_watched`` tells by a job's id whether to decode previews of its pictures."""
        self._profile = profile
        self._is_watched = is_watched
        self.model_cache = model_cache or ModelCache.for_device(profile.device)
        self.image_pipeline = ImagePipeline(profile, self.model_cache, engine)

    @property
    def profile(self) -> Profile:
        return self._profile

    def warm_up(self) -> None:
        """Load what draws from words, so that no request pays for it."""
        if Capability.TEXT_TO_IMAGE in self.profile.capabilities:
            self.image_pipeline.warm_up()

    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> R:
        return self.run_for(NOBODY, operation, on_event)

    def run_for(self, caller: Caller, operation: Operation[R], on_event: OnEvent) -> R:
        """Run ``operation``, whose drawings share the device as those of ``caller``."""
        if isinstance(operation, Draw):
            request = replace(operation.request, flow=caller.user, label=caller.label)
            return cast("R", self._draw(request, on_event, caller))
        return cast("R", self._run(operation, on_event))

    def bind(
        self,
        caller: Caller,
        check: Callable[[], object] = lambda: None,
        on_load: OnModelLoad = ignore_load,
    ) -> Inference:
        return _BoundInference(self, caller, on_load)

    def memory_plans(self) -> Mapping[str, str]:
        return self.model_cache.stats().plans

    def loaded_models(self) -> LoadedModels:
        loaded, took = self.model_cache.loaded_keys(), self.model_cache.last_load_seconds()
        free_mb = self.model_cache.free_mb()
        return LoadedModels(
            frozenset(use for use, (key, _) in self._models.items() if key in loaded),
            frozenset(use for use, (_, need_mb) in self._models.items() if need_mb <= free_mb),
            {use: took[key] for use, (key, _) in self._models.items() if key in took},
        )

    @cached_property
    def _models(self) -> dict[Capability, tuple[str, int]]:
        """What the model cache calls each capability's model, and the MB that it needs at most."""
        found = {}
        for capability in self.profile.capabilities:
            if capability in IMAGE_CAPABILITIES:
                key = base_model_key(self.profile, capability)
                need = self.profile.models[key].memory
            elif capability in _MODELS:
                key = _MODELS[capability].cache_key(self.profile)
                need = _MODELS[capability].memory_need(self.profile)
            else:
                continue
            found[capability] = (key, need.weights_mb + need.activations)
        return found

    def memory(self) -> MemoryStats:
        """What the models do with the memory, and how busy the card is, for metrics."""
        stats = self.model_cache.stats()
        return replace(stats, card=card_stats(stats.device))

    def engine_stats(self) -> EngineStats:
        """What the engine has computed, for metrics."""
        return self.image_pipeline.engine_stats()

    def close(self) -> None:
        """Stop the engine and release the weights."""
        self.image_pipeline.close()

    def _run(self, operation: Operation[Any], on_event: OnEvent) -> Any:
        def report(done: int, total: int) -> None:
            on_event(Progress(done, total))

        profile, run = self.profile, self.model_cache.run
        match operation:
            case GenerateVideo(video):
                return run(ImageToVideo.loader(profile), lambda it: _film(it, video, report))
            case ParsePerson(image):
                return run(HumanParser.loader(profile), lambda it: it.parse(image))
            case EstimateDepth(image):
                return run(DepthEstimator.loader(profile), lambda it: it.estimate_nearness(image))
            case GenerateMesh(mesh):
                return run(MeshGenerator.loader(profile), lambda it: it.generate(mesh, report))
            case LookAtPerson(image):
                return run(IdentityScorer.loader(profile), lambda it: it.look_at(image))
            case ComparePerson(reference, image):
                scorer = IdentityScorer.loader(profile)
                return run(scorer, lambda it: it.similarity(reference, image))
            case LikenessThreshold():
                return run(IdentityScorer.loader(profile), lambda it: it.threshold)
            case Upscale(image, factor):
                upscaler = Upscaler.loader(profile)
                return run(upscaler, lambda it: it.upscale(image, factor, report).image)
            case Speak(speech):
                return run(Narrator.loader(profile), lambda it: it.speak(speech, report))
            case Write(text):
                return run(Writer.loader(profile), lambda it: it.write(text, report))
            case _:
                raise TypeError(f"no model runs a {type(operation).__name__}")

    def _draw(self, request: DiffusionRequest, on_event: OnEvent, caller: Caller) -> list[Image]:
        previews = Previews(lambda: self._is_watched(caller.job))

        def on_step(step: DenoisingStep) -> None:
            preview = previews.next(step) if step.number < step.total else None
            on_event(DrawingProgress(step.image_index, step.number, step.total, preview))

        return self.image_pipeline.generate(request, on_step)


class _BoundInference(Inference):
    """The models of ``local``, at work for ``caller``."""

    def __init__(self, local: LocalInference, caller: Caller, on_load: OnModelLoad) -> None:
        self._local, self._caller, self._on_load = local, caller, on_load

    @property
    def profile(self) -> Profile:
        return self._local.profile

    def run(self, operation: Operation[R], on_event: OnEvent = ignore_event) -> R:
        with loads_told_to(lambda key, seconds: self._on_load(ModelLoad(key, seconds))):
            return self._local.run_for(self._caller, operation, on_event)

    def memory_plans(self) -> Mapping[str, str]:
        return self._local.memory_plans()


class Previews:
    """Decodes a preview when one is due and somebody watches.

    A preview is a courtesy: whatever goes wrong in it, the request goes on, without previews.
    """

    def __init__(
        self, is_watched: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_watched, self._clock = is_watched, clock
        self._lock = threading.Lock()
        self._last = clock()

    def next(self, step: DenoisingStep) -> Image | None:
        """Return the picture so far; ``None`` if none is due, none wanted, or none decoded."""
        with self._lock:
            now = self._clock()
            if now - self._last < PREVIEW_INTERVAL_S or not self._is_watched():
                return None
            self._last = now
        try:
            return step.preview()
        except SessionCanceled:
            raise
        except Exception:
            log.warning("preview_failed", exc_info=True)
            with self._lock:
                self._last = float("inf")
            return None


def _film(
    model: ImageToVideo, request: VideoRequest, report: Callable[[int, int], None]
) -> GeneratedVideo:
    request = model.fit_aspect(request)
    return GeneratedVideo(model.generate(request, report), model.resolve(request))
