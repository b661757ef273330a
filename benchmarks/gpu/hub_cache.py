"""Random weights of a profile's models, laid where a hub's client keeps what it fetched.

So the profile and all code that loads it run unchanged: same names, pins, variants and folders.
"""

from __future__ import annotations

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
        small[key] = model.model_copy(update={"variant": None, "dtype": "float32"})
    uses = {
        capability: use.model_copy(update=_SMALL if use.width else {})
        for capability, use in profile.capabilities.items()
    }
    return profile.model_copy(update={"device": "cpu", "models": small, "capabilities": uses})


_SMALL = {"width": 64, "height": 64, "min_size": 8, "max_size": 64}

Writer = Callable[[Path, Model], Any]


def _saved(make: Callable[[], Any], processor: Callable[[], Any] | None = None) -> Writer:
    def write(folder: Path, model: Model) -> None:
        made = make()
        made.save_pretrained(folder, variant=model.variant, safe_serialization=True)
        if processor is not None:
            processor().save_pretrained(folder)

    return write


def _ip_adapter(folder: Path, model: Model) -> None:
    from safetensors.torch import save_file

    assert model.weight_name is not None
    encoder = folder / "models/image_encoder"
    if not encoder.is_dir():
        architectures.clip_vision().save_pretrained(encoder, safe_serialization=True)
    target = folder / model.subfolder / model.weight_name
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: part.cpu() for name, part in architectures.ip_adapter_plus().items()}, target)


def _segformer_processor() -> Any:
    from transformers import SegformerImageProcessorPil

    return SegformerImageProcessorPil()


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
    "stable-diffusion-1.5": _saved(lambda: architectures.stable_diffusion(checked=True)),
    "ip-adapter-face": _ip_adapter,
    "ip-adapter-garment": _ip_adapter,
    "controlnet-canny": _saved(architectures.controlnet),
    "animatediff": _saved(architectures.motion_adapter),
    "segformer-clothes": _saved(architectures.segformer, _segformer_processor),
    "depth-anything-v2-small": _saved(architectures.depth_anything, _depth_processor),
    "shap-e": _shap_e,
    "qwen2.5-1.5b": _saved(architectures.qwen_writer),
}


def _miniature(module: str, function: str) -> Writer:
    def write(folder: Path, model: Model) -> None:
        import importlib

        getattr(importlib.import_module(f"tests.support.miniatures.{module}"), function)(folder)
        if model.weight_name is not None:
            (folder / "models/ip-adapter.safetensors").rename(
                folder / model.subfolder / model.weight_name
            )
        if "shap_e_renderer" in model.folders:
            _rename_renderer(folder, model)

    return write


MINIATURES: dict[str, Writer] = {
    "stable-diffusion-1.5": _miniature("pictures", "stable_diffusion"),
    "ip-adapter-face": _miniature("pictures", "ip_adapter"),
    "ip-adapter-garment": _miniature("pictures", "ip_adapter"),
    "controlnet-canny": _miniature("pictures", "controlnet"),
    "animatediff": _miniature("films", "motion_adapter"),
    "segformer-clothes": _miniature("readers", "segformer"),
    "depth-anything-v2-small": _miniature("readers", "depth_anything"),
    "shap-e": _miniature("meshes", "shap_e_from_picture"),
    "qwen2.5-1.5b": _miniature("readers", "qwen_writer"),
}
