"""What an operator adds to the profiles: the files of the folder ``ATELIER_PROFILES_DIR``.

A file with the name of a shipped profile is laid over it: what it states replaces or joins what is
there. Any other file is a profile of its own, or names in ``extends`` the one that it is laid over.
So a style or a checkpoint of one's own is one line in a file that no upgrade touches::

    models:
      watercolor: {path: /srv/loras/watercolor.safetensors, adapter_of: stable-diffusion-xl}
      stable-diffusion-xl: {single_file: /srv/checkpoints/juggernaut.safetensors}
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

FOLDER_VARIABLE = "ATELIER_PROFILES_DIR"
OPERATORS_LICENCE = "the operator's own"

_MEGABYTE = 2**20


class InvalidProfileFile(ValueError):
    """A file of the operator's folder is not the YAML of a profile."""


def operator_files() -> dict[str, Path]:
    """The operator's files by the name of their profile; empty without a folder.

    Raises:
        InvalidProfileFile: ``ATELIER_PROFILES_DIR`` names no folder.
    """
    given = os.environ.get(FOLDER_VARIABLE, "").strip()
    if not given:
        return {}
    folder = Path(given)
    if not folder.is_dir():
        raise InvalidProfileFile(f"{FOLDER_VARIABLE} is {given!r}, which is no folder")
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_mapping(file: Path) -> dict[str, Any]:
    """The content of a YAML file that holds one mapping.

    Raises:
        InvalidProfileFile: it does not; the message names the file.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidProfileFile(f"{file}: {error}") from error
    if not isinstance(content, dict):
        raise InvalidProfileFile(f"{file} holds no mapping of names to values")
    return content


def lay_over(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``above``: mappings are merged, all else is replaced."""
    merged = dict(base)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = lay_over(under, value) if both else value  # type: ignore[arg-type]
    return merged


def complete_models(added: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """``added`` with what a line about one file need not say: licence, loader, memory.

    A model that is a file of its own is a LoRA unless it states a loader. Its memory is the file's
    size, and its licence is for the operator to know.
    """
    models = added.get("models")
    if not isinstance(models, dict):
        return added
    known = base.get("models", {})
    return {
        **added,
        "models": {
            key: _completed(model) if isinstance(model, dict) and key not in known else model
            for key, model in models.items()
        },
    }


def _completed(model: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"licence": OPERATORS_LICENCE, "commercial": True}
    path = Path(str(model.get("path", "")))
    if path.suffix != ".safetensors":
        return {**defaults, **model}
    size = path.stat().st_size if path.is_file() else 0
    memory = {
        "components": {"lora": -(-size // _MEGABYTE)},
        "activations": 0,
        "activations_sliced": 0,
    }
    defaults |= {"loader": "lora", "memory": memory}
    one_file = {"path": str(path.parent), "weight_name": path.name, "files": [path.name]}
    return {**defaults, **model, **one_file}
