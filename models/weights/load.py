"""Load model weights: safetensors only, no remote code, and only under a permitted license."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any, get_type_hints

import torch

from models.profiles.load import Model
from models.weights.licenses import require_license
from models.weights.single_file import read_pipeline, read_transformer

# While diffusers builds a model, it makes torch create all new weights on the "meta" device, so a
# module built meanwhile in another thread would have no weights. Hold this lock to build modules.
loading_lock = threading.RLock()

_WITH_SAFETY_CHECKER = ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline")


class UnknownLoader(ValueError):
    """Neither diffusers nor transformers has a class of that name."""


def loader_class(name: str) -> Any:
    """Return the diffusers or transformers class ``name``.

    Raises:
        UnknownLoader: neither library has such a class.
    """
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        candidate = getattr(library, name, None)
        if isinstance(candidate, type):
            return candidate
    raise UnknownLoader(f"neither diffusers nor transformers has a class {name!r}")


def load_model(model: Model, **parts: Any) -> Any:
    """Load the pipeline or network of ``model`` on the CPU, at the profile's precision.

    ``parts`` are passed to ``from_pretrained``, such as components of another pipeline.

    Raises:
        NonCommercialWeights: see :func:`require_license`.
        OSError: the weights are missing (fetch them with ``atelier-admin models fetch``).
    """
    for needed in (model, *model.loaded_with):
        require_license(needed)
    with loading_lock:
        replaced = {part.replaces: _read(part, {}) for part in model.loaded_with if part.replaces}
        loaded = _read(model, {**replaced, **parts})
        _apply_distillation(model, loaded)
        return loaded


def _apply_distillation(model: Model, pipeline: Any) -> None:
    from models.weights.distilled import distilled_scheduler, fuse_loras

    fuse_loras(pipeline, [lora for lora in model.loaded_with if lora.fused_into])
    if model.distilled is not None:
        pipeline.scheduler = distilled_scheduler(model.distilled, pipeline.scheduler)


def _read(model: Model, parts: dict[str, Any]) -> Any:
    from diffusers.loaders import FromSingleFileMixin

    _silence_libraries()
    kind = loader_class(model.loader)
    named: dict[str, Any] = {"subfolder": model.subfolder} if model.subfolder else {}
    if model.variant is not None:
        named["variant"] = model.variant
    parts = {**_processor(model, kind), **_moved_parts(model, kind), **parts}
    parts |= _without_safety_checker(model)
    if model.single_file is not None and issubclass(kind, FromSingleFileMixin):
        loaded = read_pipeline(kind, model, parts)
    else:
        if model.single_file is not None:
            parts = {"transformer": read_transformer(kind, model), **parts}
        loaded = kind.from_pretrained(
            model.source,
            revision=model.revision,
            dtype=getattr(torch, model.dtype),
            use_safetensors=True,
            local_files_only=True,  # fetched when the manager started: no request waits for it
            **named,
            **parts,
        )
    if hasattr(loaded, "set_progress_bar_config"):
        loaded.set_progress_bar_config(disable=True)
    return loaded


def _processor(model: Model, kind: Any) -> dict[str, Any]:
    """The processor of a pipeline whose own cannot be read without torchvision."""
    from transformers import Qwen2VLProcessor

    from models.weights.processors import read_picture_processor

    asked = inspect.signature(kind.__init__).parameters.get("processor")
    if asked is None or asked.annotation is not Qwen2VLProcessor:
        return {}
    return {"processor": read_picture_processor(model, "processor")}


def _moved_parts(model: Model, kind: Any) -> dict[str, Any]:
    """Load the components of a pipeline that are in another folder than that of their name."""
    from diffusers import DiffusionPipeline

    if not model.folders or not issubclass(kind, DiffusionPipeline):
        return {}
    classes = get_type_hints(kind.__init__)
    return {
        part: classes[part].from_pretrained(
            model.source,
            subfolder=folder,
            revision=model.revision,
            variant=model.variant,
            dtype=getattr(torch, model.dtype),
            use_safetensors=True,
            local_files_only=True,
        )
        for part, folder in model.folders.items()
    }


def _silence_libraries() -> None:
    """Keep the libraries' progress bars and warnings out of the logs; errors are still logged."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _without_safety_checker(model: Model) -> dict[str, object]:
    # The tiny pack has no safety checker: its synthetic world needs none. Weights that come with
    # one keep it.
    if not model.local_path or model.loader not in _WITH_SAFETY_CHECKER:
        return {}
    if Path(model.source, model.subfolder, "safety_checker").is_dir():
        return {}
    return {"safety_checker": None, "requires_safety_checker": False}
