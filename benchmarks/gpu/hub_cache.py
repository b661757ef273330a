"""Random weights of a profile's models, laid where a hub's client keeps what it fetched.

So the profile and all code that loads it run unchanged: same names, pins, variants and folders.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu import architectures
from models.profiles.load import Model, Profile


def snapshot(model: Model, cache: Path) -> Path:
    """The folder of ``model``'s commit in the cache (``HF_HUB_CACHE``)."""
    assert model.hub_id is not None and model.revision is not None
    name = "models--" + model.hub_id.replace("/", "--")
    return cache / name / "snapshots" / model.revision


def fill(profile: Profile, cache: Path, device: str) -> None:
    """Write every model of ``profile`` that is fetched, at real size, made on ``device``.

    ONNX files are left out: they run on the CPU and take nothing of a card.

    Raises:
        KeyError: a model whose architecture is not written down in ``REAL``.
    """
    for key, model in profile.models.items():
        if model.hub_id is not None and not model.is_onnx:
            folder = snapshot(model, cache)
            with architectures.made_on(device, model.dtype):
                REAL[key](folder, model)


def fill_with_miniatures(profile: Profile, cache: Path) -> Profile:
    """Write miniatures, and return ``profile`` as it must be to run them on a CPU."""
    small = {}
    for key, model in profile.models.items():
        if model.hub_id is not None and not model.is_onnx:
            MINIATURES[key](snapshot(model, cache), model)
        small[key] = _small(model)
    uses = {
        capability: use.model_copy(update=_SMALL if use.width else {})
        for capability, use in profile.capabilities.items()
    }
    return profile.model_copy(update={"device": "cpu", "models": small, "capabilities": uses})


def _small(model: Model) -> Model:
    loaded_with = tuple(_small(part) for part in model.loaded_with)
    update = {"variant": None, "dtype": "float32", "loaded_with": loaded_with}
    return model.model_copy(update=update)


_SMALL = {"width": 64, "height": 64, "min_size": 8, "max_size": 64}

Writer = Callable[[Path, Model], Any]


def _saved(make: Callable[[], Any], processor: Callable[[], Any] | None = None) -> Writer:
    def write(folder: Path, model: Model) -> None:
        made = make()
        made.save_pretrained(folder, variant=model.variant, safe_serialization=True)
        if processor is not None:
            processor().save_pretrained(folder)

    return write


def _only(name: str, make: Callable[[], Any]) -> Writer:
    """One component of a pipeline, where the profile looks for it."""

    def write(folder: Path, model: Model) -> None:
        part = getattr(make(), name)
        part.save_pretrained(folder / model.subfolder, safe_serialization=True)

    return write


class _Both:
    """Saves a tokenizer and an image processor beside each other."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def save_pretrained(self, folder: Path) -> None:
        for part in self.parts:
            part.save_pretrained(folder)


def _detector_processor() -> Any:
    from transformers import GroundingDinoImageProcessorPil

    from tests.support.miniatures.detectors import bert_tokenizer

    return _Both(bert_tokenizer(), GroundingDinoImageProcessorPil())


def _depth_processor() -> Any:
    from transformers import DPTImageProcessorPil

    return DPTImageProcessorPil(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14
    )


def _shap_e(folder: Path, model: Model) -> None:
    _saved(architectures.shap_e)(folder, model)
    _rename_renderer(folder, model)


def _rename_renderer(folder: Path, model: Model) -> None:
    (folder / "shap_e_renderer").rename(folder / model.folders["shap_e_renderer"])


REAL: dict[str, Writer] = {
    "flux.2-klein-4b": _saved(architectures.flux2_klein),
    "stable-diffusion-xl": _saved(architectures.stable_diffusion_xl),
    "sdxl-vae-fp16-fix": _only("vae", architectures.stable_diffusion_xl),
    "controlnet-canny": _saved(architectures.controlnet_xl),
    "fastwan2.2-ti2v-5b": _saved(architectures.wan_5b),
    "fastwan2.2-transformer": _only("transformer", architectures.wan_5b),
    "grounding-dino-tiny": _saved(architectures.grounding_dino, _detector_processor),
    "sam2.1-hiera-small": _saved(architectures.sam2),
    "swin2sr-realworld-x4": _saved(architectures.swin2sr),
    "depth-anything-v2-small": _saved(architectures.depth_anything, _depth_processor),
    "shap-e": _shap_e,
    "qwen3-4b-instruct-2507": _saved(architectures.qwen3_4b),
}


def _miniature(module: str, function: str, part: str = "") -> Writer:
    """``part`` is the folder of the only component that is kept."""

    def write(folder: Path, model: Model) -> None:
        import importlib

        make = getattr(importlib.import_module(f"tests.support.miniatures.{module}"), function)
        if part:
            with tempfile.TemporaryDirectory() as whole:
                shutil.copytree(make(Path(whole)) / part, folder / model.subfolder)
        else:
            make(folder)
        if "shap_e_renderer" in model.folders:
            _rename_renderer(folder, model)

    return write


MINIATURES: dict[str, Writer] = {
    "flux.2-klein-4b": _miniature("flows", "flux2_klein"),
    "stable-diffusion-xl": _miniature("pictures", "stable_diffusion_xl"),
    "sdxl-vae-fp16-fix": _miniature("pictures", "stable_diffusion_xl", "vae"),
    "controlnet-canny": _miniature("pictures", "controlnet_xl"),
    "fastwan2.2-ti2v-5b": _miniature("films", "wan_from_either"),
    "fastwan2.2-transformer": _miniature("films", "wan_from_either", "transformer"),
    "grounding-dino-tiny": _miniature("detectors", "grounding_dino"),
    "sam2.1-hiera-small": _miniature("detectors", "sam2"),
    "swin2sr-realworld-x4": _miniature("readers", "swin2sr"),
    "depth-anything-v2-small": _miniature("readers", "depth_anything"),
    "shap-e": _miniature("meshes", "shap_e_from_picture"),
    "qwen3-4b-instruct-2507": _miniature("readers", "qwen_writer"),
}
