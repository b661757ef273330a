"""Whether weights on disk are whole, as the hub holds them, and free of pickles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from models.profiles.load import Model
from models.weights.hub import (
    MEGABYTE,
    ProgressCallback,
    RemoteFile,
    file_size,
    listed_files,
    snapshot_folder,
)

UNSAFE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".msgpack", ".py")

_MAX_HEADER = 100 * MEGABYTE  # safetensors' own limit
_CHUNK = 4 * MEGABYTE


@dataclass(frozen=True)
class FileProblem:
    """One file that is not as it should be; ``file`` is empty where it is about the whole."""

    file: str
    reason: str
    path: Path | None = None  # of a file that is there and must not be used


def verify_files(
    model: Model, progress: ProgressCallback | None = None, *, cache: Path | None = None
) -> list[FileProblem]:
    """What is wrong with the model's files; empty if nothing is. Reads every byte of them."""
    if model.is_built_in:
        return []
    if model.local_path:
        return list(_check_folder(model))
    listed = listed_files(model, cache)
    if listed is None:
        return [FileProblem("", f"not fetched: python -m scripts.models fetch {model.name}")]
    folder = snapshot_folder(model, cache)
    if not any(file.name.endswith(".safetensors") for file in listed):
        return [FileProblem("", "no safetensors file at this revision: pickles are not loaded")]
    faults = []
    total, done = sum(file.size for file in listed), 0
    for file in listed:
        path = folder / file.name
        bad = path if path.exists() else None
        faults += [FileProblem(file.name, says, bad) for says in _check_file(path, file)]
        done += file.size
        if progress is not None:
            progress(done, total)
    return faults + list(_pickles(folder, model))


def delete_files(problems: Iterable[FileProblem]) -> None:
    """Remove the files at fault, so that the next fetch gets those and no others.

    In the hub's cache a file is a link to its bytes; both go, or the damage would be linked again.
    """
    for fault in problems:
        if fault.path is not None:
            fault.path.resolve().unlink(missing_ok=True)
            fault.path.unlink(missing_ok=True)


def _check_file(path: Path, file: RemoteFile) -> Iterator[str]:
    size = file_size(path)
    if size is None:
        yield "is missing: fetch"
    elif size != file.size:
        yield f"has {size} bytes of {file.size}"
    elif _digest(path, file) != (file.sha256 or file.git_id):
        yield "is not what the hub holds"
    elif path.suffix == ".safetensors":
        yield from _safetensors_problems(path)


def _digest(path: Path, file: RemoteFile) -> str:
    """SHA-256 of the file, or its git blob id (https://git-scm.com/book/en/v2/Git-Internals)."""
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size)
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _safetensors_problems(path: Path) -> Iterator[str]:
    """Whether the header parses and the tensors fill the rest of the file exactly.

    The layout: https://huggingface.co/docs/safetensors (8 bytes of header length, JSON, tensors).
    """
    size = path.stat().st_size
    with path.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if not 0 < length <= min(_MAX_HEADER, size - 8):
            yield "is no safetensors file"
            return
        try:
            header: dict[str, Any] = json.loads(content.read(length))
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key[:2] != "__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            yield "has a broken header"
            return
    if 8 + length + max(ends, default=0) != size:
        yield "is cut short"


def _check_folder(model: Model) -> Iterator[FileProblem]:
    """The shipped files of ``model``: those its ``files`` name, or all of its folder."""
    folder, patterns = Path(model.source), model.files or ("*",)
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and any(fnmatchcase(path.relative_to(folder).as_posix(), pattern) for pattern in patterns)
    )
    if not any(path.suffix == ".safetensors" for path in files):
        yield FileProblem("", f"no safetensors file in {folder}")
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            yield from (FileProblem(name, says, path) for says in _safetensors_problems(path))
        elif path.suffix in UNSAFE_SUFFIXES:
            yield FileProblem(name, "may run code when it is read, and is not loaded", path)


def _pickles(folder: Path, model: Model) -> Iterator[FileProblem]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in UNSAFE_SUFFIXES and name.startswith(model.subfolder):
            yield FileProblem(name, "may run code when it is read, and is not loaded", path)
