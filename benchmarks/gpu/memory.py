"""Do the memory plans keep their word? ``python -m benchmarks.gpu.memory [--json FILE]``.

Takes a profile (by default ``rtx3050``) with random weights at real size, gives this process the
memory of the card it was made for, and runs every capability: once as a replica would, under the
plan the budget chooses, and once under each other plan whose estimate fits.

For each it prints the estimate beside the measured peak of one request, after a first request has
loaded the weights and timed the engine's batches. Ends with 1 if an estimate is off by more than
15 % and 64 MB, a peak is over the budget, or something failed.

``--device cpu --miniature`` runs the same code with tiny models; nothing is judged then.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from models.memory import estimate
from models.memory.budget import MemoryBudget
from models.memory.cache import ModelCache
from models.memory.loader import PIPELINE_PLANS, LoadedModel, ModelLoader
from models.memory.peaks import MB, PlanRecord
from models.memory.plans import MemoryPlan, available_plans, execution_device
from models.memory.usage import memory_usage, release_memory, reset_peak
from models.profiles.load import Capability, MemoryNeed, Profile, load_profile

if TYPE_CHECKING:
    from PIL.Image import Image

TOLERANCE = 0.15  # of the peak
SMALL_MB = 64  # an error that no card feels
TEXT_TOKENS = 2000
_PICTURES = (
    Capability.TEXT_TO_IMAGE, Capability.IMAGE_TO_IMAGE, Capability.INPAINT,
    Capability.GARMENT, Capability.IDENTITY, Capability.CONTROL,
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """``record.measured_mb`` is the peak of a later request, ``first_mb`` of the first."""

    capability: str
    chosen: bool  # the plan a replica with this budget takes
    record: PlanRecord
    first_mb: int = 0
    failure: str = ""

    def faults(self, limit_mb: int) -> list[str]:
        """What is wrong with it, in words."""
        if self.failure:
            return [self.failure]
        found = []
        estimate, peak = self.record.estimate_mb, self.record.measured_mb or 0
        if peak and is_off(estimate, peak):
            found.append(f"the estimate is off by {self.record.error_percent:+.0f} %")
        if max(peak, self.first_mb) > limit_mb:
            found.append("the peak is over the budget")
        return found


def is_off(estimate_mb: int, peak_mb: int) -> bool:
    """Whether an estimate is further from the peak than it may be, either way."""
    return abs(estimate_mb - peak_mb) > max(TOLERANCE * peak_mb, SMALL_MB)


@dataclass
class OnePlan(ModelCache):
    """Holds every model under ``plan``, whatever fits."""

    plan: MemoryPlan = MemoryPlan.RESIDENT

    def _plan_for(self, what: Any) -> MemoryPlan:
        return self.plan


Work = Callable[[ModelCache], None]


def picture(side: int) -> Image:
    """Noise, so that nothing is empty."""
    import numpy as np
    from PIL import Image as Pillow

    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Pillow.fromarray(pixels)


def person(width: int) -> Image:
    """A picture as tall for its width as a detector of people takes: 800 to 1333."""
    return picture(width).resize((width, width * 5 // 3))


@contextmanager
def worker(
    profile: Profile, capability: Capability, model_cache: ModelCache, steps: int
) -> Iterator[Callable[[], Any]]:
    """Makes one request of ``capability`` a call; what it loaded stays until the end."""
    if capability in _PICTURES:
        from models.diffusion.image_pipeline import ImagePipeline

        pictures = ImagePipeline(profile, model_cache)
        request = picture_request(profile, capability, steps)
        try:
            yield lambda: pictures.generate(request)
        finally:
            pictures.close()
    else:
        what, work = reader(profile, capability, steps)
        yield lambda: model_cache.run(what, work)
        model_cache.evict_idle()


def picture_request(profile: Profile, capability: Capability, steps: int) -> Any:
    from models.diffusion.requests import DiffusionRequest

    use = profile.capability_config(capability)
    shown = picture(use.width or 64)
    given: dict[Capability, dict[str, Any]] = {
        Capability.TEXT_TO_IMAGE: {},
        Capability.IMAGE_TO_IMAGE: {"image": shown, "strength": 1.0},
        Capability.INPAINT: {"image": shown, "mask": shown},
        Capability.GARMENT: {"image": shown, "mask": shown, "garment": shown},
        Capability.IDENTITY: {"person": shown},
        Capability.CONTROL: {"control": shown},
    }
    return DiffusionRequest(prompt="a red circle", seed=0, steps=steps, **given[capability])


def reader(
    profile: Profile, capability: Capability, steps: int
) -> tuple[Any, Callable[[Any], Any]]:
    """How the model of ``capability`` is held, and one request of it."""
    import torch

    from models.weights import load as weights_load

    model, use = profile.model(capability), profile.capability_config(capability)
    need = need_of(profile, capability)
    shown = picture(64 if profile.device == "cpu" else 768)
    if capability is Capability.TEXT:

        def write(loaded: LoadedModel) -> Any:
            network = loaded.network
            length = 20 if profile.device == "cpu" else TEXT_TOKENS
            device = execution_device(network)
            tokens = torch.full((1, length), 5, device=device)
            return network.generate(tokens, max_new_tokens=8, min_new_tokens=8, do_sample=False)

        return ModelLoader(
            use.model, need, lambda: LoadedModel(weights_load.load_model(model))
        ), write
    if capability is Capability.MESH:
        from models.mesh.errors import EmptyMesh
        from models.mesh.mesh import MeshRequest
        from models.mesh.shap_e import MeshGenerator

        def shape(maker: MeshGenerator) -> None:
            grid = 16 if profile.device == "cpu" else 128
            # Random weights have no surface; by the time that is known the peak is past.
            with suppress(EmptyMesh):
                maker.generate(MeshRequest(image=shown, steps=steps, grid=grid))

        return replace(MeshGenerator.loader(profile), key=use.model), shape
    from models.diffusion.video.pipeline import ImageToVideo
    from models.diffusion.video.requests import VideoRequest
    from models.vision.depth import DepthEstimator
    from models.vision.human_parser import HumanParser
    from models.vision.upscale import Upscaler

    def film(maker: ImageToVideo) -> Any:
        return maker.generate(VideoRequest(shown, "a red circle", seed=0, steps=steps))

    kinds: dict[Capability, tuple[Any, Callable[[Any], Any]]] = {
        Capability.DEPTH: (DepthEstimator, lambda reads: reads.estimate_nearness(shown)),
        Capability.HUMAN_PARSING: (HumanParser, lambda reads: reads.parse(person(shown.width))),
        Capability.IMAGE_TO_VIDEO: (ImageToVideo, film),
        Capability.UPSCALE: (Upscaler, lambda enlarges: enlarges.upscale(shown, 4)),
    }
    kind, work = kinds[capability]
    return replace(kind.loader(profile), key=use.model), work


def need_of(profile: Profile, capability: Capability) -> MemoryNeed:
    """Of the model, and of the one it is loaded into."""
    model = profile.model(capability)
    need = model.memory
    if model.adapter_of is None:
        return need
    base = profile.models[model.adapter_of].memory
    return need.model_copy(update={"components": {**base.components, **need.components}})


def peak(device: str, work: Callable[[], Any]) -> int:
    """MB on ``device`` at the highest point of ``work``."""
    release_memory(device)
    reset_peak(device)
    work()
    return memory_usage(device).peak // MB


def run(
    profile: Profile, capability: Capability, model_cache: ModelCache, steps: int, chosen: bool
) -> Measured:
    """Two requests, both measured; whatever goes wrong is a result too."""
    device = model_cache.budget.device
    # On a CPU the process's own memory must be taken off; on a card there is nothing before.
    before = memory_usage(device).allocated // MB
    try:
        with worker(profile, capability, model_cache, steps) as work:
            first, later = peak(device, work), peak(device, work)
            known = model_cache.plan_records()[-1]
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        failure = f"{type(error).__name__}: {said}"[:200]
        plan = model_cache.plan if isinstance(model_cache, OnePlan) else MemoryPlan.RESIDENT
        name = profile.capability_config(capability).model
        return Measured(capability.value, chosen, PlanRecord(name, plan, 0), failure=failure)
    finally:
        model_cache.evict_idle()
    record = PlanRecord(known.model, known.plan, known.estimate_mb, max(1, later - before))
    return Measured(capability.value, chosen, record, first - before)


def measure(
    profile: Profile, budget: MemoryBudget, steps: int, wanted: list[Capability]
) -> list[Measured]:
    results = []
    for capability in wanted:
        chosen = run(profile, capability, ModelCache(budget), steps, chosen=True)
        results.append(chosen)
        need = need_of(profile, capability)
        pictures = capability in _PICTURES
        known = PIPELINE_PLANS if pictures else reader(profile, capability, steps)[0].plans
        others = set(available_plans(budget.device)) & set(known) - {chosen.record.plan}
        for plan in sorted(others, key=known.index):
            if estimate.estimate_mb(need, plan) <= budget.limit_mb:
                held = OnePlan(budget, wait_timeout_s=1.0, plan=plan)
                results.append(run(profile, capability, held, steps, chosen=False))
    return results


def show(results: list[Measured], budget: MemoryBudget, judged: bool, console: Console) -> None:
    title = f"Memory plans under {budget.limit_mb} MB on {budget.device}"
    table = Table(
        "capability", "model", "plan", "estimate", "measured", "error", "first", "fault",
        title=title if judged else f"{title}, MINIATURES: the figures mean nothing",
    )  # fmt: skip
    for result in results:
        record, error = result.record, result.record.error_percent
        table.add_row(
            result.capability,
            record.model,
            record.plan.value + (" *" if result.chosen else ""),
            f"{record.estimate_mb} MB",
            f"{record.measured_mb} MB" if record.measured_mb else "",
            f"{error:+.0f} %" if error is not None and judged else "",
            f"{result.first_mb} MB",
            "; ".join(result.faults(budget.limit_mb)) if judged else result.failure,
        )
    console.print(table)
    console.print("* the plan a replica with this budget takes")


def card(device: str, gigabytes: int) -> MemoryBudget:
    """The budget of a card of that size, enforced on whatever card there is."""
    small = MemoryBudget.for_device_memory(gigabytes * 1024, device=device)
    if device == "cpu":
        return small
    return replace(MemoryBudget.detect(device), limit_mb=small.limit_mb)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.memory", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--miniature", action="store_true")
    parser.add_argument("--capabilities", nargs="+", type=Capability, help="by default all")
    parser.add_argument("--steps", type=int, default=4, help="more change no peak")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and not arguments.miniature:
        parser.error("on a CPU the peaks of the real sizes say nothing; add --miniature")
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
    os.environ.pop("ALLOW_NONCOMMERCIAL_WEIGHTS", None)  # the profile as it is sold
    profile = load_profile("rtx3050")
    with tempfile.TemporaryDirectory(prefix="atl-weights-") as folder:
        os.environ |= {"HF_HUB_CACHE": folder, "HF_HUB_OFFLINE": "1"}  # before it is imported
        from benchmarks.gpu import hub_cache

        budget = card(arguments.device, profile.vram_gb)
        if arguments.miniature:
            profile = hub_cache.fill_with_miniatures(profile, Path(folder))
        else:
            hub_cache.fill(profile, Path(folder), arguments.device)
            release_memory(arguments.device)
            budget.enforce()
        models = {c: profile.model(c) for c in profile.capabilities}
        has_weights = [c for c, m in models.items() if not (m.is_built_in or m.is_onnx)]
        wanted = arguments.capabilities or has_weights
        results = measure(profile, budget, arguments.steps, wanted)
    show(results, budget, not arguments.miniature, Console(width=200))
    if arguments.json is not None:
        data = {"budget": asdict(budget), "results": [asdict(result) for result in results]}
        arguments.json.write_text(json.dumps(data, indent=1) + "\n")
    limit = budget.limit_mb
    bad = [r for r in results if (r.failure if arguments.miniature else r.faults(limit))]
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
