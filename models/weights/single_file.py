"""Read a pipeline whose weights are one checkpoint file, in the layout of Civitai and ComfyUI.

diffusers converts the layout. What the file does not hold (often the text encoder or the VAE)
comes from the model's source, as do all configurations and tokenizers: nothing is guessed and
nothing is downloaded.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, get_type_hints

import torch
from safetensors import safe_open

from models.profiles.load import Model

# How the names of a part's weights begin in such files, by the part's name in diffusers.
_CLIP = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.")
_PREFIXES: dict[str, tuple[str, ...]] = {
    "text_encoder": _CLIP,
    "text_encoder_2": _CLIP,
    "vae": ("first_stage_model.", "vae."),
    "safety_checker": ("safety_checker.",),
}


class UnsuitableCheckpoint(ValueError):
    """The file does not hold the weights of the architecture that the profile names."""


def read_pipeline(kind: Any, model: Model, parts: dict[str, Any]) -> Any:
    """The pipeline of class ``kind`` with the weights of ``model.single_file``, on the CPU.

    ``parts`` are components that are used as they are given.

    Raises:
        UnsuitableCheckpoint: its weights do not fit the architecture.
        OSError: the file or the source is not there.
    """
    file, source = checkpoint_file(model), _source_folder(model)
    parts = {**_parts_of_source(kind, model, source, file), **parts}
    try:
        return kind.from_single_file(
            str(file),
            config=str(source),
            dtype=getattr(torch, model.dtype),
            local_files_only=True,
            **parts,
        )
    except (KeyError, ValueError, RuntimeError) as error:
        raise _unsuitable(file, model, error) from error


def read_transformer(kind: Any, model: Model) -> Any:
    """The denoiser in ``model.single_file``, for pipelines that have no such file of their own.

    Raises:
        UnsuitableCheckpoint: its weights do not fit the architecture, or ``kind`` has none.
        OSError: the file or the source is not there.
    """
    file = checkpoint_file(model)
    transformer: Any = get_type_hints(kind.__init__).get("transformer")
    if not hasattr(transformer, "from_single_file"):
        raise UnsuitableCheckpoint(f"{model.loader} cannot read a checkpoint of one file ({file})")
    try:
        return transformer.from_single_file(
            str(file),
            config=str(_source_folder(model)),
            subfolder="transformer",
            dtype=getattr(torch, model.dtype),
            local_files_only=True,
        )
    except (KeyError, ValueError, RuntimeError) as error:
        raise _unsuitable(file, model, error) from error


def checkpoint_file(model: Model) -> Path:
    """The checkpoint of ``model``.

    Raises:
        UnsuitableCheckpoint: it is no safetensors file; pickles run code when they are read.
        FileNotFoundError: it is not there.
    """
    file = Path(str(model.single_file))
    if file.suffix != ".safetensors":
        raise UnsuitableCheckpoint(f"{file} is no safetensors file; pickles are not loaded")
    if not file.is_file():
        raise FileNotFoundError(f"{file}, the checkpoint of {model.name}, is not there")
    return file


def _source_folder(model: Model) -> Path:
    if model.hub_id is None:
        return Path(model.source)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model.hub_id, revision=model.revision, local_files_only=True))


def _parts_of_source(kind: Any, model: Model, source: Path, file: Path) -> dict[str, Any]:
    """The networks beside the denoiser that ``file`` does not hold; no file has a safety checker.

    diffusers finds them itself only where their files are named as diffusers names its own.
    """
    index: dict[str, Any] = json.loads((source / "model_index.json").read_text())
    with safe_open(file, framework="pt") as checkpoint:
        keys = checkpoint.keys()
    held = {
        part: any(key.startswith(prefixes) for key in keys) for part, prefixes in _PREFIXES.items()
    }
    return {
        part: _component_class(kind, part, *index[part]).from_pretrained(
            source / part,
            dtype=getattr(torch, model.dtype),
            variant=model.variant,
            use_safetensors=True,
            local_files_only=True,
        )
        for part, there in held.items()
        if not there and index.get(part, [None])[0] is not None
    }


def _component_class(kind: Any, part: str, library: str, name: str) -> Any:
    """The class of a component, by its entry in model_index.json."""
    if library in ("diffusers", "transformers"):
        return getattr(importlib.import_module(library), name)
    return get_type_hints(kind.__init__)[part]


def _unsuitable(file: Path, model: Model, error: Exception) -> UnsuitableCheckpoint:
    return UnsuitableCheckpoint(
        f"{file} does not fit {model.loader} of {model.source}: {str(error)[:300]}"
    )
