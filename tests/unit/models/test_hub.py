"""Fetching and checking weights, against a small hub of our own on this machine."""

import hashlib
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError
from safetensors.numpy import save

from models.profiles.load import Model, Profile, load_profile
from models.weights import hub
from models.weights.hub import (
    DiskFull,
    HubNotFound,
    HubTokenRequired,
    HubUnreachable,
    UnexpectedWeights,
    download_model,
    required_models,
)
from models.weights.licenses import NonCommercialWeights
from models.weights.onnx import onnx_file
from models.weights.verify import delete_files, verify_files
from tests.support.hub import REPO, REVISION, Hub


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test run as a whole is offline; this hub is on this machine."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of the hub does not wait between its tries."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    for module in (file_download, _http):
        # Not of the module time, which other threads of this process use as well.
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: None))


class Place(NamedTuple):
    """A hub with one repository, and an empty cache."""

    hub: Hub
    cache: Path

    def fetch(self, model: Model, **options: Any) -> Path | None:
        return download_model(model, cache=self.cache, endpoint=self.hub.endpoint, **options)

    def check(self, model: Model) -> dict[str, str]:
        return {fault.file: fault.reason for fault in verify_files(model, cache=self.cache)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    import numpy as np
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # write small pieces, too
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    weights = save({"weight": np.arange(2000, dtype=np.float32)})
    own = Hub()
    own.files = {
        "model_index.json": b"{}",
        "unet/config.json": b'{"_class_name": "UNet2DConditionModel"}',
        "unet/diffusion_pytorch_model.safetensors": weights,
        "unet/diffusion_pytorch_model.bin": b"\x80\x04a pickle",
        "tokenizer/merges.txt": b"a b",
        "checkpoint.ckpt": b"\x80\x04a pickle",
        "modeling.py": b"import os",
    }
    own.large = {name for name in own.files if name.endswith((".safetensors", ".bin", ".ckpt"))}
    with own.serving():
        yield Place(own, tmp_path / "cache")


def model(**changes: Any) -> Model:
    given: dict[str, Any] = {
        "name": "weights",
        "hub_id": REPO,
        "revision": REVISION,
        "licence": "Apache-2.0",
        "commercial": True,
        "loader": "StableDiffusionPipeline",
        "memory": {"components": {"unet": 3}, "activations": 0, "activations_sliced": 0},
    }
    return Model.model_validate(given | changes)


def profile_of(one: Model) -> Profile:
    data = load_profile("tiny").model_dump()
    data["models"] = {"weights": one.model_dump()}
    data["capabilities"] = {"text_to_image": {"model": "weights"}}
    return Profile.model_validate(data)


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def test_what_is_fetched_is_there_whole_and_holds_nothing_that_runs(place: Place) -> None:
    told: list[tuple[int, int]] = []
    before = required_models(profile_of(model()), cache=place.cache)[0]
    assert not before.present
    assert before.bytes == 3 * 2**20  # an estimate, by memory

    folder = place.fetch(model(), progress=lambda done, total: told.append((done, total)))

    safe = {name for name in place.hub.files if not name.endswith((".bin", ".ckpt", ".py"))}
    assert folder is not None
    assert folder.name == REVISION
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == safe
    assert {name for name, _ in place.hub.served} == safe
    size = sum(len(place.hub.files[name]) for name in safe)
    assert told[0] == (0, size)
    assert told[-1] == (size, size)
    steps = [after[0] - before[0] for before, after in pairwise(told)]
    assert all(0 <= step <= 1000 for step in steps)  # a piece at a time, none counted twice
    after = required_models(profile_of(model()), cache=place.cache)[0]
    assert after.present
    assert after.bytes == size
    assert place.check(model()) == {}


def test_nothing_is_fetched_twice(place: Place) -> None:
    place.fetch(model())
    place.hub.served.clear()
    place.fetch(model())
    assert place.hub.served == []


def test_patterns_choose_files_but_never_pickles(place: Place) -> None:
    folder = place.fetch(model(files=["unet/*"]))
    assert folder is not None
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"config.json", "diffusion_pytorch_model.safetensors"}


@pytest.mark.usefixtures("hasty")
def test_a_dropped_connection_is_resumed_within_the_file(place: Place) -> None:
    place.hub.drops = [1000, 3000]
    place.fetch(model(files=[WEIGHTS]))
    assert place.hub.served == [
        (WEIGHTS, ""),
        (WEIGHTS, "bytes=1000-"),
        (WEIGHTS, "bytes=3000-"),
    ]
    assert place.check(model(files=[WEIGHTS])) == {}


@pytest.mark.usefixtures("hasty")
def test_a_broken_fetch_keeps_the_files_that_arrived(place: Place) -> None:
    place.hub.drops = [2000] * 100
    with pytest.raises(HubUnreachable, match="fetch again"):
        place.fetch(model())
    assert not required_models(profile_of(model()), cache=place.cache)[0].present
    assert place.check(model()) == {WEIGHTS: "is missing: fetch"}

    place.hub.drops = []
    place.hub.served.clear()
    place.fetch(model())
    assert place.hub.served == [(WEIGHTS, "")]
    assert place.check(model()) == {}


def test_a_tampered_file_is_found_deleted_and_fetched_alone(place: Place) -> None:
    folder = place.fetch(model())
    assert folder is not None
    for name, content in ((WEIGHTS, b"X"), ("unet/config.json", b" ")):
        with (folder / name).open("r+b") as file:
            file.seek(-1, 2)
            file.write(content)
    assert place.check(model()) == dict.fromkeys(
        [WEIGHTS, "unet/config.json"], "is not what the hub holds"
    )
    assert required_models(profile_of(model()), cache=place.cache)[
        0
    ].present  # sizes alone do not tell

    delete_files(verify_files(model(), cache=place.cache))
    place.hub.served.clear()
    place.fetch(model())
    assert {name for name, _ in place.hub.served} == {WEIGHTS, "unet/config.json"}
    assert place.check(model()) == {}


def test_a_file_cut_short_is_found(place: Place) -> None:
    folder = place.fetch(model())
    assert folder is not None
    size = len(place.hub.files[WEIGHTS])
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(size - 4)
    assert place.check(model()) == {WEIGHTS: f"has {size - 4} bytes of {size}"}


def test_a_pickle_beside_the_weights_is_found(place: Place) -> None:
    folder = place.fetch(model())
    assert folder is not None
    (folder / "unet" / "extra.bin").write_bytes(b"\x80\x04")
    assert "may run code" in place.check(model())["unet/extra.bin"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x80\x04 a pickle by another name", "is no safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "has a broken header"),
        (save({"w": __import__("numpy").zeros(8)})[:-8], "is cut short"),
    ],
    ids=["pickle", "header", "short"],
)
def test_a_hub_that_holds_broken_weights_is_not_trusted(
    place: Place, content: bytes, says: str
) -> None:
    place.hub.files[WEIGHTS] = content
    place.fetch(model())
    assert place.check(model()) == {WEIGHTS: says}


def test_weights_in_the_repository_are_checked_too(tmp_path: Path) -> None:
    tiny = load_profile("tiny").models["atelier-tiny"]
    copy = tiny.model_copy(update={"path": tmp_path / "pack"})
    shutil.copytree(tiny.source, copy.source)
    assert verify_files(copy) == []
    (tmp_path / "pack" / "model.ckpt").write_bytes(b"\x80")
    weights = next((tmp_path / "pack").rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    faults = {str(fault.path): fault.reason for fault in verify_files(copy)}
    assert faults[str(weights)] == "is cut short"
    assert "may run code" in faults[str(tmp_path / "pack" / "model.ckpt")]
    assert len(faults) == 2


@pytest.mark.parametrize(
    ("refuse", "problem", "says"),
    [
        ((403, "GatedRepo"), HubTokenRequired, "HF_TOKEN"),
        ((404, "RepoNotFound"), HubNotFound, REPO),
        ((404, "RevisionNotFound"), HubNotFound, REVISION),
    ],
)
def test_a_refusal_says_what_to_do(
    place: Place, refuse: tuple[int, str], problem: type[Exception], says: str
) -> None:
    place.hub.refuse = refuse
    with pytest.raises(problem, match=says):
        place.fetch(model())


def test_a_repository_of_pickles_only_is_refused(place: Place) -> None:
    del place.hub.files[WEIGHTS]
    with pytest.raises(HubNotFound, match="pickles"):
        place.fetch(model())
    assert place.hub.served == []


@pytest.mark.usefixtures("hasty")
def test_a_hub_that_does_not_answer_is_said_to(place: Place) -> None:
    place.hub.server.server_close()
    with pytest.raises(HubUnreachable, match="HF_ENDPOINT"):
        place.fetch(model())


def test_a_full_disk_is_noticed_before_the_download(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2**20}))
    with pytest.raises(DiskFull, match="make room"):
        place.fetch(model())
    assert place.hub.served == []


def test_weights_that_may_not_be_sold_are_not_fetched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    with pytest.raises(NonCommercialWeights):
        place.fetch(model(commercial=False))
    assert place.hub.served == []


def test_what_is_built_in_needs_nothing() -> None:
    lanczos = load_profile("tiny").models["lanczos"]
    assert download_model(lanczos) is None
    assert verify_files(lanczos) == []


NET = b"\x08\x06 a graph of operations"


def onnx_model(**changes: Any) -> Model:
    given = {"loader": "FaceDetectorYN", "weight_name": "net.onnx",
             "sha256": hashlib.sha256(NET).hexdigest()}  # fmt: skip
    return model(**given | changes)


@pytest.fixture
def onnx_place(place: Place) -> Place:
    place.hub.files = {"net.onnx": NET, "net_int8.onnx": b"another", "run.py": b"import os"}
    place.hub.large = {"net.onnx", "net_int8.onnx"}
    return place


def test_of_onnx_files_the_pinned_one_is_fetched_and_no_other(
    onnx_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = onnx_place.fetch(onnx_model())
    assert folder is not None
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["net.onnx"]
    assert onnx_place.check(onnx_model()) == {}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(onnx_place.cache))
    assert onnx_file(onnx_model()).read_bytes() == NET


def test_a_model_that_declares_no_onnx_gets_none(onnx_place: Place) -> None:
    with pytest.raises(HubNotFound, match="no safetensors file"):
        onnx_place.fetch(model())
    assert onnx_place.hub.served == []


def test_another_onnx_file_than_the_pinned_one_is_not_fetched(onnx_place: Place) -> None:
    with pytest.raises(UnexpectedWeights, match=r"another net\.onnx than"):
        onnx_place.fetch(onnx_model(sha256="0" * 64))
    assert onnx_place.hub.served == []


def test_an_onnx_file_that_was_exchanged_on_disk_is_found_and_not_read(
    onnx_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = onnx_place.fetch(onnx_model())
    assert folder is not None
    (folder / "net.onnx").resolve().write_bytes(NET[::-1])
    assert onnx_place.check(onnx_model()) == {"net.onnx": "is not what the hub holds"}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(onnx_place.cache))
    with pytest.raises(UnexpectedWeights, match="names by its sha256"):
        onnx_file(onnx_model())


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": None},
        {"weight_name": None},
        {"weight_name": "net.pt"},
        {"loader": "StableDiffusionPipeline"},
    ],
)
def test_an_onnx_file_is_declared_whole_or_not_at_all(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="sha256"):
        onnx_model(**changes)
