"""A hub's cache that holds the real configurations of a profile's models, and no weights.

``architectures/`` has a file for each repository: its configurations, where they are from, and the
shapes of adapters' weights. The libraries read networks from files by one method each; here it
makes the network of its configuration instead. All else, from the profile to the pipeline, is
production code.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import safetensors

from models.profiles.load import Model, Profile
from tests.support.miniatures import detectors, parts

ARCHITECTURES = Path(__file__).parent / "architectures"


class ArchitectureMissing(LookupError):
    """``architectures/`` has no configuration of a model; add a file for its repository."""


def architecture(hub_id: str) -> dict[str, Any]:
    """The files of the repository ``hub_id`` by their path in it.

    Raises:
        ArchitectureMissing: there is no file for it.
    """
    file = ARCHITECTURES / (hub_id.replace("/", "--") + ".json")
    if not file.is_file():
        raise ArchitectureMissing(f"no {file.relative_to(ARCHITECTURES.parents[2])}: add it")
    found: dict[str, Any] = json.loads(file.read_text())["files"]
    return found


def snapshot(model: Model) -> Path:
    """The folder of ``model``'s commit in the cache (``HF_HUB_CACHE``)."""
    name = "models--" + str(model.hub_id).replace("/", "--")
    return Path(os.environ["HF_HUB_CACHE"]) / name / "snapshots" / str(model.revision)


def fill(profile: Profile) -> None:
    """Lay every model of ``profile`` that is fetched into the hub's cache.

    Raises:
        ArchitectureMissing: see :func:`architecture`.
    """
    for model in profile.models.values():
        if model.hub_id is not None and not model.is_onnx:
            write(model)


def write(model: Model) -> None:
    folder = snapshot(model)
    for path, content in architecture(str(model.hub_id)).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".safetensors":
            if "lora_of" in content:
                content = lora_shapes(content["lora_of"], content["component"], content["rank"])
            write_empty_weights(target, content)
            continue
        target.write_text(json.dumps(content))
        if target.name == "config.json":
            _name_weights(target, content, model.variant)
        if target.name == "model_index.json":
            for name, kind in content.items():
                if isinstance(kind, list) and kind[0] is not None:
                    _write_tokenizer(folder / name, kind[1])
        elif path == "config.json" and (kind := _TOKENIZERS.get(content.get("model_type", ""))):
            _write_tokenizer(folder, kind)


def write_empty_weights(target: Path, shapes: dict[str, list[int]], size: int = 2) -> None:
    """Write a safetensors file of float16 zeros, which takes no room on disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, count = end, size
        for side in shape:
            count *= side
        end = start + count
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    said = json.dumps(header).encode()
    said += b" " * (-len(said) % 8)
    with target.open("wb") as file:
        file.write(len(said).to_bytes(8, "little") + said)
        file.truncate(8 + len(said) + end)


def _name_weights(config: Path, content: dict[str, Any], variant: str | None) -> None:
    """The libraries look for the files before they read them."""
    stem = "diffusion_pytorch_model" if "_class_name" in content else "model"
    ending = f".{variant}.safetensors" if variant else ".safetensors"
    write_empty_weights(config.parent / (stem + ending), {})


# Of repositories that are one network, by its type.
_TOKENIZERS = {
    "qwen3": "Qwen2Tokenizer",
    "qwen3_moe": "Qwen2Tokenizer",
    "grounding-dino": "BertTokenizer",
}


def _write_tokenizer(folder: Path, kind: str) -> None:
    """Tokenizers of a byte a token: how many tokens there are is all that matters here."""
    if kind == "CLIPTokenizer":
        tokenizer: Any = parts.clip_tokenizer()
        tokenizer.model_max_length = 77
    elif kind.startswith(("T5Tokenizer", "LlamaTokenizer", "GemmaTokenizer")):
        tokenizer = parts.t5_tokenizer()
    elif kind == "BertTokenizer":
        tokenizer = detectors.bert_tokenizer()
    elif kind.startswith("Qwen2"):
        tokenizer = _qwen_tokenizer()
    else:
        return
    tokenizer.save_pretrained(folder)


def _qwen_tokenizer() -> Any:
    tokenizer = parts.qwen_tokenizer()
    marks = ("im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{mark}|>" for mark in marks]})
    return tokenizer


@contextlib.contextmanager
def configurations_only() -> Iterator[None]:
    """Inside, networks are made of their configurations, not read from files."""
    import diffusers
    import transformers

    with ExitStack() as stack:
        for kind in (diffusers.ModelMixin, transformers.PreTrainedModel):
            stack.enter_context(patch.object(kind, "from_pretrained", classmethod(_made)))
        for module in list(sys.modules.values()):
            if getattr(module, "safe_open", None) is _safe_open:
                stack.enter_context(patch.object(module, "safe_open", _RealTensors))
        yield


_safe_open = safetensors.safe_open


class _RealTensors:
    """``safe_open``, whose tensors are real: adapters' files hold zeros and are read as any."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._file = _safe_open(*arguments, **options)

    def __enter__(self) -> Any:
        self._file.__enter__()
        return self

    def __exit__(self, *arguments: Any) -> Any:
        return self._file.__exit__(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def get_tensors(self) -> Any:
        return {name: self.get_tensor(name) for name in list(self._file.keys())}

    def get_tensor(self, name: str) -> Any:
        from torch._subclasses.fake_tensor import unset_fake_temporarily

        with unset_fake_temporarily():
            return self._file.get_tensor(name)


def _made(
    cls: Any, source: Any, *_: Any, subfolder: str | None = None, revision: str | None = None,
    dtype: Any = None, torch_dtype: Any = None, **options: Any,
) -> Any:  # fmt: skip
    """``from_pretrained`` of both libraries, without the weights."""
    import diffusers
    from transformers.initialization import no_init_weights

    folder = Path(source)
    if not folder.is_dir():
        name = "models--" + str(source).replace("/", "--")
        folder = Path(os.environ["HF_HUB_CACHE"]) / name / "snapshots" / str(revision)
    folder /= subfolder or ""
    if not (folder / "config.json").is_file():
        raise OSError(f"{folder} has no config.json")
    if issubclass(cls, diffusers.ModelMixin):
        network = cls.from_config(json.loads((folder / "config.json").read_text()))
    else:
        # As when weights are read. Some initial values are drawn until they suit, and those of fake
        # tensors never do.
        config = cls.config_class.from_pretrained(folder)
        if hasattr(config, "image_token_id"):  # the tokenizer here has numbers of its own
            config.image_token_id = _qwen_tokenizer().convert_tokens_to_ids("<|image_pad|>")
        with no_init_weights():
            network = cls(config)
        network.tie_weights()
    if (quantization := options.get("quantization_config")) is not None:
        raise NotImplementedError(f"reading under {type(quantization).__name__}")
    _convert(network, torch_dtype or dtype)
    return network.eval()


def _convert(network: Any, dtype: Any) -> None:
    """Give the weights ``dtype``, but those that their class keeps at 32 bits."""
    import torch

    if dtype is None or isinstance(dtype, str):
        return
    kept = list(getattr(network, "_keep_in_fp32_modules_strict", None) or ())
    if dtype is torch.float16 or not hasattr(network, "generation_config"):
        kept += list(getattr(network, "_keep_in_fp32_modules", None) or ())
    saved = set(network.state_dict())
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if name not in saved or not tensor.is_floating_point():
            continue
        if any(part in name.split(".") or part in name for part in kept):
            continue
        tensor.data = tensor.data.to(dtype)


def lora_shapes(base: str, component: str, rank: int) -> dict[str, list[int]]:
    """The weights of a LoRA for the attention of a denoiser of the repository ``base``."""
    import diffusers
    import torch

    config = architecture(base)[f"{component}/config.json"]
    with torch.device("meta"):
        denoiser = getattr(diffusers, config["_class_name"]).from_config(config)
    prefix = "unet" if component == "unet" else "transformer"
    shapes: dict[str, list[int]] = {}
    for path, layer in denoiser.named_modules():
        if isinstance(layer, torch.nn.Linear) and path.endswith(("to_q", "to_k", "to_v")):
            shapes[f"{prefix}.{path}.lora_A.weight"] = [rank, layer.in_features]
            shapes[f"{prefix}.{path}.lora_B.weight"] = [layer.out_features, rank]
    return shapes
