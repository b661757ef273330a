"""Verify weights on disk: complete, identical to the hub's, and without pickles."""

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
    has_weights,
    is_needed_file,
    listed_files,
    snapshot_folder,
)

UNSAFE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".msgpack", ".py")

_MAX_HEADER = 100 * MEGABYTE  # safetensors' own limit
_CHUNK = 4 * MEGABYTE


@dataclass(frozen=True)
class FileProblem:
    """A problem of one file, or of the whole model if ``file`` is empty."""

    file: str
    reason: str
    path: Path | None = None  # of an existing file that must not be used


def verify_files(
    model: Model, progress: ProgressCallback | None = None, *, cache: Path | None = None
) -> list[FileProblem]:
    """Check every byte of the model's files; return the problems, empty if there are none."""
    if model.is_built_in:
        return []
    if model.single_file is not None:
        source = model.model_copy(update={"single_file": None})
        return [
            *_check_single_file(model.single_file),
            *verify_files(source, progress, cache=cache),
        ]
    if model.local_path:
        return list(_check_folder(model))
    listed = listed_files(model, cache)
    if listed is None:
        return [FileProblem("", f"not fetched: atelier-admin models fetch {model.name}")]
    folder = snapshot_folder(model, cache)
    if not has_weights(model, [file.name for file in listed]):
        return [FileProblem("", "no weights at this revision that are read: pickles are not")]
    problems = []
    total, done = sum(file.size for file in listed), 0
    for file in listed:
        path = folder / file.name
        bad_path = path if path.exists() else None
        reasons = list(_check_file(path, file)) or list(_onnx_problems(model, path))
        problems += [FileProblem(file.name, reason, bad_path) for reason in reasons]
        done += file.size
        if progress is not None:
            progress(done, total)
    return problems + list(_pickles(folder, model))


def delete_files(problems: Iterable[FileProblem]) -> None:
    """Delete the files of ``problems``, so that the next download fetches only those.

    A file in the hub's cache is a link to a blob. Both are deleted, because the damaged blob would
    be linked again otherwise.
    """
    for problem in problems:
        if problem.path is not None:
            problem.path.resolve().unlink(missing_ok=True)
            problem.path.unlink(missing_ok=True)


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
    if file.sha256:
        return file_sha256(path)
    return _hexdigest(path, hashlib.sha1(b"blob %d\0" % file.size))


def file_sha256(path: Path) -> str:
    """SHA-256 of the file in hex digits."""
    return _hexdigest(path, hashlib.sha256())


def _hexdigest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _onnx_problems(model: Model, path: Path) -> Iterator[str]:
    if model.is_onnx and file_sha256(path) != model.sha256:
        yield "is not the file that the profile names by its sha256"


def _safetensors_problems(path: Path) -> Iterator[str]:
    """Check that the header parses and that the tensors fill the rest of the file exactly.

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


def _check_single_file(path: Path) -> Iterator[FileProblem]:
    if not path.is_file():
        yield FileProblem(str(path), "is missing")
    elif path.suffix != ".safetensors":
        yield FileProblem(str(path), "is no safetensors file; pickles are not loaded")
    else:
        yield from (FileProblem(str(path), reason) for reason in _safetensors_problems(path))


def _check_folder(model: Model) -> Iterator[FileProblem]:
    """Check the local files of ``model``: those that ``files`` matches, or all of its folder."""
    folder, patterns = Path(model.source), model.files or ("*",)
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and any(fnmatchcase(path.relative_to(folder).as_posix(), pattern) for pattern in patterns)
    )
    names = {path: path.relative_to(folder).as_posix() for path in files}
    if not has_weights(model, names.values()):
        yield FileProblem("", f"no {'ONNX' if model.is_onnx else 'safetensors'} file in {folder}")
    for path, name in names.items():
        if model.is_onnx and is_needed_file(model, name):
            yield from (FileProblem(name, reason, path) for reason in _onnx_problems(model, path))
        elif path.suffix == ".safetensors":
            yield from (FileProblem(name, reason, path) for reason in _safetensors_problems(path))
        elif path.suffix in UNSAFE_SUFFIXES:
            yield FileProblem(name, "may run code when it is read, and is not loaded", path)


def _pickles(folder: Path, model: Model) -> Iterator[FileProblem]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in UNSAFE_SUFFIXES and name.startswith(model.subfolder):
            yield FileProblem(name, "may run code when it is read, and is not loaded", path)
