"""Download the weights of a profile from the Hugging Face Hub, and list those on disk.

Files go to the hub's cache (``HF_HOME``) at the pinned revision, where ``from_pretrained`` finds
them. Only safetensors, JSON, text and tokenizer files are downloaded, and the one ONNX file that
a profile names with its hash, so no file can run code when it is read.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.profiles.load import Model, Profile, noncommercial_weights_allowed
from models.weights.licenses import require_license

SAFE_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja")

MEGABYTE = 2**20
_SPARE_BYTES = 512 * MEGABYTE  # left on the disk after a download

#: Called with the bytes downloaded and the total bytes, from several threads.
ProgressCallback = Callable[[int, int], None]


class HubError(RuntimeError):
    """The weights could not be fetched."""


class HubUnreachable(HubError):
    """The hub does not answer."""


class HubTokenRequired(HubError):
    """The hub requires a token of an account that accepted the license of these weights."""


class HubNotFound(HubError):
    """The hub has no such repository, revision or file."""


class UnexpectedWeights(HubError):
    """The hub holds another ONNX file than the one that the profile names by its hash."""


class DiskFull(HubError):
    """The disk has no room for the missing files."""


@dataclass(frozen=True)
class RequiredModel:
    """One model of a profile; ``bytes`` is what the hub listed, before that its ``download_mb``."""

    key: str
    model: Model
    bytes: int
    present: bool


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository as the hub lists it.

    ``size`` is bytes; only large (LFS) files have a ``sha256``, others are checked by ``git_id``.
    """

    name: str
    size: int
    git_id: str
    sha256: str | None


def required_models(profile: Profile, *, cache: Path | None = None) -> list[RequiredModel]:
    """List every model of the profile and whether its files are on disk, without the network."""
    required = []
    for key, model in profile.models.items():
        listed = listed_files(model, cache)
        estimate_mb = model.download_mb or model.memory.weights_mb
        size = sum(file.size for file in listed or ()) or estimate_mb * MEGABYTE
        required.append(
            RequiredModel(
                key, model, 0 if model.is_built_in else size, _is_downloaded(model, listed, cache)
            )
        )
    return required


def absent_models(profile: Profile, *, cache: Path | None = None) -> list[RequiredModel]:
    """List the models that lack files of the hub and may be used; nothing is asked of the hub.

    A checkpoint that the operator lays on the disk is not the hub's, so it does not count.
    """
    absent = []
    for need in required_models(profile, cache=cache):
        model = need.model
        permitted = model.commercial or noncommercial_weights_allowed()
        if need.present or model.hub_id is None or not permitted:
            continue
        of_hub = model.model_copy(update={"single_file": None})
        if not _is_downloaded(of_hub, listed_files(model, cache), cache):
            absent.append(need)
    return absent


def is_needed_file(model: Model, name: str) -> bool:
    """Whether the file ``name`` of the model's repository must be downloaded."""
    if model.is_onnx:
        return name == onnx_name(model)
    if not name.endswith(SAFE_SUFFIXES):
        return False
    if model.files:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in model.files)
    return name.startswith(f"{model.subfolder}/") if model.subfolder else True


def onnx_name(model: Model) -> str:
    """The path of the model's ONNX file in its repository or folder."""
    return f"{model.subfolder}/{model.weight_name}".lstrip("/")


def has_weights(model: Model, names: Iterable[str]) -> bool:
    """Whether a file of ``names`` holds weights in the format that the model is loaded from."""
    suffix = ".onnx" if model.is_onnx else ".safetensors"
    return any(name.endswith(suffix) for name in names)


def download_model(
    model: Model,
    progress: ProgressCallback | None = None,
    *,
    cache: Path | None = None,
    endpoint: str | None = None,
) -> Path | None:
    """Download the missing files of ``model``; return its folder, ``None`` if it is built in.

    Complete files are kept, and a dropped connection is resumed within the file; after a crash the
    current file starts again. Weights that ship with the code are not downloaded.

    Raises:
        NonCommercialWeights: see :func:`models.weights.licenses.require_license`.
        HubError: one of its subclasses; the message says what to do.
    """
    require_license(model)
    if model.is_built_in:
        return None
    if model.local_path or model.hub_id is None:
        return Path(model.source)
    with _hub_errors(model):
        return _download(model, progress, cache, endpoint)


def missing_bytes(model: Model, *, cache: Path | None = None, endpoint: str | None = None) -> int:
    """The bytes that :func:`download_model` would download, as the hub lists them now.

    Raises:
        NonCommercialWeights: see :func:`models.weights.licenses.require_license`.
        HubError: one of its subclasses; the message says what to do.
    """
    require_license(model)
    if model.hub_id is None:
        return 0
    with _hub_errors(model):
        return _missing(_remote_files(model, endpoint), snapshot_folder(model, cache))


def require_disk_space(missing: int, cache: Path | None = None) -> None:
    """Make sure that ``missing`` bytes fit beside what else the cache's disk holds.

    Raises:
        DiskFull: they do not.
    """
    folder = cache_folder(cache)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if missing and free < missing + _SPARE_BYTES:
        raise DiskFull(
            f"{missing / 2**30:.1f} GiB are missing and {free / 2**30:.1f} GiB are free at"
            f" {existing}: make room, or set HF_HOME to a larger disk"
        )


@contextmanager
def _hub_errors(model: Model) -> Iterator[None]:
    """Turn the errors of the hub's client into a :class:`HubError` that says what to do."""
    with_token = f"accept its licence at the hub, then set HF_TOKEN and fetch {model.name} again"
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        kind = _hub_error_class(error)
        if kind is HubTokenRequired:
            raise HubTokenRequired(f"{model.hub_id} is gated: {with_token}") from error
        if kind is HubNotFound:
            raise HubNotFound(
                f"the hub has no {model.hub_id} at {model.revision}, or not for you:"
                " look at hub_id, revision and files in the profile, or set HF_TOKEN"
            ) from error
        if kind is HubUnreachable:
            raise HubUnreachable(
                f"the hub does not answer ({type(error).__name__}): check the network, HF_ENDPOINT"
                " and HF_HUB_OFFLINE, then fetch again; what has arrived is kept"
            ) from error
        raise


def _remote_files(model: Model, endpoint: str | None) -> list[Any]:
    """What of the model's repository is needed, as the hub lists it (``RepoFile``)."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    hub_id = str(model.hub_id)
    tree = HfApi(endpoint=endpoint).list_repo_tree(hub_id, revision=model.revision, recursive=True)
    files = [
        entry for entry in tree if isinstance(entry, RepoFile) and is_needed_file(model, entry.path)
    ]
    if not has_weights(model, [file.path for file in files]):
        raise HubNotFound(
            f"{hub_id} has no {'ONNX' if model.is_onnx else 'safetensors'} file of the kind the"
            " profile names: look at files; pickles are not loaded"
        )
    for file in files if model.is_onnx else ():
        if file.lfs is not None and file.lfs.sha256 != model.sha256:
            raise UnexpectedWeights(
                f"{hub_id} holds another {file.path} than the profile names: compare its sha256"
            )
    return files


def _missing(files: Iterable[Any], folder: Path) -> int:
    return sum(file.size for file in files if not (folder / file.path).exists())


def _download(
    model: Model, progress: ProgressCallback | None, cache: Path | None, endpoint: str | None
) -> Path:
    from huggingface_hub import snapshot_download

    files = _remote_files(model, endpoint)
    total = sum(file.size for file in files)
    missing = _missing(files, snapshot_folder(model, cache))
    require_disk_space(missing, cache)
    if progress is not None:
        progress(total - missing, total)
    return Path(
        snapshot_download(
            str(model.hub_id),
            revision=model.revision,
            cache_dir=cache_folder(cache),
            endpoint=endpoint,
            allow_patterns=[glob.escape(file.path) for file in files],
            tqdm_class=_progress_bar_class(progress, total - missing, total),
            max_workers=4,
        )
    )


def _progress_bar_class(progress: ProgressCallback | None, done: int, total: int) -> Any:
    """Return a tqdm class that prints nothing and reports to ``progress``."""
    from huggingface_hub.utils.tqdm import tqdm

    state = {"done": done}

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Of the hub's bars (files, bytes received, bytes written) only the last counts.
            self.counts = kwargs.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if self.counts and progress is not None:
                state["done"] = min(total, state["done"] + int(n or 0))
                progress(state["done"], total)
            return None

    return Bar


def _hub_error_class(error: Exception) -> type[HubError] | None:
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return HubTokenRequired
    if isinstance(
        error,
        errors.RepositoryNotFoundError
        | errors.RevisionNotFoundError
        | errors.RemoteEntryNotFoundError,
    ):
        return HubNotFound
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        return HubTokenRequired
    unreachable = httpx2.HTTPError | errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError
    # One thread of the client that cannot connect closes what the others use, which then fail so.
    closed = isinstance(error, RuntimeError | AttributeError) and str(error).endswith(
        ("the client has been closed.", "'NoneType' object has no attribute 'request'")
    )
    return HubUnreachable if closed or isinstance(error, unreachable | ConnectionError) else None


def cache_folder(cache: Path | None) -> Path:
    """Return the hub's cache: ``cache``, or the one of ``HF_HOME``."""
    from huggingface_hub import constants

    return (cache or Path(constants.HF_HUB_CACHE)).expanduser().resolve()


def _repository(model: Model, cache: Path | None) -> Path:
    return cache_folder(cache) / f"models--{str(model.hub_id).replace('/', '--')}"


def snapshot_folder(model: Model, cache: Path | None) -> Path:
    """Return the folder of the model's pinned revision in the hub's cache."""
    return _repository(model, cache) / "snapshots" / str(model.revision)


def listed_files(model: Model, cache: Path | None) -> list[RemoteFile] | None:
    """Return the model's files as the hub's client listed them; ``None`` without a listing."""
    if model.hub_id is None:
        return None
    try:
        tree = _repository(model, cache) / "trees" / f"{model.revision}.json"
        files = json.loads(tree.read_text())["files"]
        return [
            RemoteFile(name, entry["size"], entry["blob_id"], entry.get("lfs_sha256"))
            for name, entry in files.items()
            if is_needed_file(model, name)
        ]
    except (OSError, ValueError, KeyError):
        return None


def _is_downloaded(model: Model, listed: list[RemoteFile] | None, cache: Path | None) -> bool:
    if model.is_built_in:
        return True
    if model.single_file is not None and not model.single_file.is_file():
        return False
    if model.local_path:
        return (Path(model.source) / model.subfolder / (model.weight_name or "")).exists()
    folder = snapshot_folder(model, cache)
    return bool(listed) and all(file_size(folder / file.name) == file.size for file in listed or ())


def file_size(path: Path) -> int | None:
    """Return the file's size in bytes; ``None`` if it is missing."""
    return path.stat().st_size if path.exists() else None
