"""What is asked of each capability: production code of ``models/``, one request a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL.Image import Image

from benchmarks.gpu.memory import TEXT_TOKENS, person, picture, picture_request
from models.diffusion.requests import DiffusionRequest, Lora
from models.diffusion.resolve import IMAGE_CAPABILITIES
from models.diffusion.video.requests import VideoRequest
from models.inference.inference import DrawingProgress, Event, Operation
from models.inference.operations import (
    Draw,
    EstimateDepth,
    GenerateMesh,
    GenerateVideo,
    ParsePerson,
    Upscale,
)
from models.memory.cache import ModelCache
from models.memory.loader import CapabilityModel, ModelLoader
from models.memory.plans import execution_device
from models.mesh.errors import EmptyMesh
from models.mesh.mesh import MeshRequest
from models.profiles.load import Capability, Profile
from tests.rehearsal import hub

STEPS = 2  # more change no peak
PHOTO = 768  # pixels a side of a picture that is looked at
TOKENS = 4  # that a writer writes
SHORT_FILM = 17  # frames


class Canceled(Exception):
    """A user's cancel, as the worker raises it in a step."""


class Pictures:
    """Requests for the pictures of one capability, through a manager."""

    def __init__(self, profile: Profile, capability: Capability, cache: ModelCache) -> None:
        from models.diffusion.batching import Engine
        from models.inference.local import LocalInference
        from tests.rehearsal.manager import Manager

        # Fake computations take no time that could be measured, so as many rows as fit are joined.
        self._inference = LocalInference(profile, cache, Engine(calibrate=False))
        self._manager = Manager(self._inference)
        self._profile, self._capability = profile, capability
        self._request = picture_request(profile, capability, STEPS)
        self.loader: ModelLoader[Any] = self._inference.image_pipeline._loader(capability)

    def once(self) -> None:
        self._manager.ask(Draw(self._request))

    def features(self) -> dict[str, Callable[[], None]]:
        """What else a request may do, by its name in the report."""
        found = {"four at once, with previews": self._four, "cancel": self._cancel}
        if self._capability is Capability.TEXT_TO_IMAGE:
            found["LoRA"] = self._lora
        return found

    def _four(self) -> None:
        asked = [
            replace(self._request, prompt="a red circle " * (i + 1), seed=i, steps=STEPS + i % 2)
            for i in range(4)
        ]
        shown: set[int] = set()

        def draw(request: DiffusionRequest) -> None:
            def note(event: Event) -> None:
                if isinstance(event, DrawingProgress) and event.preview is not None:
                    shown.add(request.seed)

            self._manager.ask(Draw(request), note)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(draw, asked))
        if len(shown) < len(asked):
            raise AssertionError(f"of {len(asked) - len(shown)} pictures no step was shown")

    def _cancel(self) -> None:
        def stop(event: Event) -> None:
            raise Canceled

        # In the manager's own thread: by the time a client hears of a step all may be drawn.
        with suppress(Canceled):
            self._inference.run(Draw(self._request), stop)
            raise AssertionError("a canceled request was drawn to its end")
        self.once()

    def _lora(self) -> None:
        base = self._profile.models[self.loader.key]
        component = "unet" if "StableDiffusion" in base.loader else "transformer"
        shapes = hub.lora_shapes(str(base.hub_id), component, rank=16)
        file = Path(hub.snapshot(base)) / "lora.safetensors"
        hub.write_empty_weights(file, shapes)
        lora = Lora(str(file.parent), file.name, 0.8)
        self._manager.ask(Draw(replace(self._request, loras=(lora,))))

    def close(self) -> None:
        self._manager.close()
        self._inference.close()


class Network:
    """Requests to the model of a capability that is no picture.

    They are measured without a manager: what is not computed finds nobody and writes nothing, so
    some are helped on. As a generator asks for them they come through a manager once.
    """

    def __init__(self, profile: Profile, capability: Capability, cache: ModelCache) -> None:
        from models.inference.local import LocalInference
        from tests.rehearsal.manager import Manager

        kind, self._work = _networks(profile)[capability]
        self.loader: ModelLoader[Any] = kind.loader(profile)
        self._cache, self._capability = cache, capability
        self._inference = LocalInference(profile, cache)
        self._manager = Manager(self._inference)

    def once(self) -> None:
        self._cache.run(self.loader, self._work)

    def features(self) -> dict[str, Callable[[], None]]:
        found: dict[str, Callable[[], None]] = {"four at once": self._four}
        if self._capability in _OPERATIONS:
            found["through a manager"] = self._ask
        if self._capability is Capability.IMAGE_TO_VIDEO:
            found["cancel"] = self._cancel
        return found

    def _four(self) -> None:
        others = self._short if self._capability is Capability.IMAGE_TO_VIDEO else self.once
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(do) for do in (self.once, others, others, others)]:
                done.result()

    def _ask(self) -> None:
        with suppress(EmptyMesh):
            self._manager.ask(_OPERATIONS[self._capability](person(PHOTO)))

    def _short(self) -> None:
        """A film of fewer frames than the default, which sets the peak."""
        self._cache.run(self.loader, lambda maker: _film(maker, frames=SHORT_FILM))

    def _cancel(self) -> None:
        def stop(number: int, total: int) -> None:
            raise Canceled

        with suppress(Canceled):
            self._cache.run(self.loader, lambda maker: _film(maker, stop))
            raise AssertionError("a canceled film was made to its end")
        self._short()

    def close(self) -> None:
        self._manager.close()
        self._inference.close()


_OPERATIONS: dict[Capability, Callable[[Image], Operation[Any]]] = {
    Capability.IMAGE_TO_VIDEO: lambda shown: GenerateVideo(_video_request(shown, SHORT_FILM)),
    Capability.HUMAN_PARSING: ParsePerson,
    Capability.DEPTH: EstimateDepth,
    Capability.MESH: lambda shown: GenerateMesh(MeshRequest(image=shown, steps=STEPS, grid=64)),
    Capability.UPSCALE: lambda shown: Upscale(shown, 4),
}


def _video_request(shown: Image, frames: int | None) -> VideoRequest:
    return VideoRequest(shown, "a red circle", 0, frames=frames, steps=STEPS)


def _film(maker: Any, on_step: Any = None, frames: int | None = None) -> Any:
    return maker.generate(_video_request(picture(PHOTO), frames), on_step)


def _networks(
    profile: Profile,
) -> dict[Capability, tuple[type[CapabilityModel], Callable[[Any], Any]]]:
    import torch

    from models.diffusion.video.pipeline import ImageToVideo
    from models.mesh.shap_e import MeshGenerator
    from models.vision.depth import DepthEstimator
    from models.vision.grounded_sam import _BOXES_AT_ONCE, Detection, GroundedSam
    from models.vision.human_parser import HumanParser
    from models.vision.upscale import Upscaler
    from models.writing.writer import Writer

    photo = picture(PHOTO)

    def shape(maker: Any) -> None:
        # What is not computed has no surface; by the time that is known the peak is past.
        with suppress(EmptyMesh):
            maker.generate(MeshRequest(image=photo, steps=STEPS, grid=128))

    def write(writer: Any) -> Any:
        network = writer.network
        tokens = torch.full((1, TEXT_TOKENS), 5, device=execution_device(network))
        return network.generate(
            tokens, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False
        )

    def parse(parser: Any) -> None:
        shown = person(PHOTO)
        parser.parse(shown)
        if isinstance(grounded := parser._parser, GroundedSam):
            # What is not computed finds nothing, so that nothing would be outlined.
            box = Detection("person", 1.0, (0.0, 0.0, *map(float, shown.size)))
            grounded._segment(shown, [box] * _BOXES_AT_ONCE)

    return {
        Capability.IMAGE_TO_VIDEO: (ImageToVideo, _film),
        Capability.HUMAN_PARSING: (HumanParser, parse),
        Capability.DEPTH: (DepthEstimator, lambda maker: maker.estimate_nearness(photo)),
        Capability.MESH: (MeshGenerator, shape),
        Capability.UPSCALE: (Upscaler, lambda upscaler: upscaler.upscale(photo, 4)),
        Capability.TEXT: (Writer, write),
    }


def rehearsed(profile: Profile) -> list[Capability]:
    """The capabilities whose models have weights on the card."""
    known = {*IMAGE_CAPABILITIES, *_networks(profile)}
    return [
        capability
        for capability in profile.capabilities
        if capability in known
        and not profile.model(capability).is_built_in
        and not profile.model(capability).is_onnx
    ]


@contextlib.contextmanager
def worker(
    profile: Profile, capability: Capability, cache: ModelCache
) -> Iterator[Pictures | Network]:
    kind = Pictures if capability in IMAGE_CAPABILITIES else Network
    made = kind(profile, capability, cache)
    try:
        yield made
    finally:
        made.close()
