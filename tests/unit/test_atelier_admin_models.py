"""``atelier-admin models``: what it says, and its exit status."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

import models.profiles.load
import models.weights.hub
from atelier_admin.commands import models as command
from atelier_admin.main import main
from models.profiles.load import load_profile
from tests.support.hub import REPO, REVISION, Hub


def run(*arguments: str) -> int:
    return main(["models", *arguments])


@pytest.fixture(autouse=True)
def _no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    monkeypatch.delenv("ATELIER_PROFILE", raising=False)
    monkeypatch.setattr(command, "gpu_memory_gb", lambda: None)


def test_list_names_every_model_its_licence_and_whether_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list", "--profile", "rtx3050", "--cache", str(tmp_path)) == 0
    said = capsys.readouterr().out
    for model in load_profile("rtx3050").models:
        assert model in said
    assert "forbids commercial use" not in said
    assert "are missing" in said


@pytest.fixture
def restricted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has taken a parser whose licence forbids commercial use."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/rtx3050.yaml").write_text(
        "capabilities: {human_parsing: {model: segformer-clothes}}\n"
    )
    monkeypatch.setenv("ATELIER_PROFILES_DIR", str(tmp_path / "own"))


@pytest.mark.usefixtures("restricted")
def test_list_says_which_licence_forbids_commercial_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list", "--profile", "rtx3050", "--cache", str(tmp_path)) == 0
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "forbids commercial use" in line]
    assert "segformer-clothes" in line


def test_list_says_what_the_flag_is_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("list", "--profile", "l40s", "--cache", str(tmp_path))
    assert run(*asked) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "worth it" in line]
    assert "human_parsing" in line and "segformer-clothes" in line
    assert "NVIDIA Source Code License" in line and "ALLOW_NONCOMMERCIAL_WEIGHTS=1" in line
    monkeypatch.setenv("ALLOW_NONCOMMERCIAL_WEIGHTS", "1")
    assert run(*asked) == 0
    assert "worth it" not in capsys.readouterr().out


def test_list_states_the_size_of_files_not_of_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wan's two transformers are stored at float32, twice what they take at bfloat16."""
    assert run("list", "--profile", "datacenter", "--json", "--cache", str(tmp_path)) == 0
    models = {one["model"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    film = models["wan2.2-i2v-a14b"]
    assert film["bytes"] == 120_360 * 2**20 > film["memory_mb"] * 2**20
    assert models["wan2.2-lightning-high-noise"]["capabilities"] == ["image_to_video"]
    assert models["sdxl-vae-fp16-fix"]["capabilities"] == ["control"]


def test_a_model_that_is_named_brings_what_is_loaded_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("check", "--profile", "l40s", "--cache", str(tmp_path), "--json")
    assert run(*asked, "wan2.2-i2v-a14b") == 1
    looked_at = set(json.loads(capsys.readouterr().out)["faults"])
    lightning = {"wan2.2-lightning-high-noise", "wan2.2-lightning-low-noise"}
    assert looked_at == {"wan2.2-i2v-a14b", *lightning}


def test_list_in_json_carries_the_pins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--profile", "rtx4090", "--json", "--cache", str(tmp_path)) == 0
    said = json.loads(capsys.readouterr().out)
    pins = {one["hub_id"]: one["revision"] for one in said["models"] if one["hub_id"]}
    profile = load_profile("rtx4090")
    assert pins == {one.hub_id: one.revision for one in profile.models.values() if one.hub_id}
    assert not any(one["present"] for one in said["models"] if one["hub_id"])


def test_without_a_profile_it_is_the_one_of_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("list", "--json")
    assert json.loads(capsys.readouterr().out)["profile"] == "tiny"
    monkeypatch.setattr(command, "gpu_memory_gb", lambda: 12.0)
    run("list", "--json")
    assert json.loads(capsys.readouterr().out)["profile"] == "rtx3060"
    monkeypatch.setenv("ATELIER_PROFILE", "datacenter")
    run("list", "--json")
    assert json.loads(capsys.readouterr().out)["profile"] == "datacenter"


def test_unknown_names_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--profile", "rtx9999") == 2
    assert "rtx4090" in capsys.readouterr().err
    assert run("fetch", "--profile", "rtx3050", "sd15") == 2
    assert "stable-diffusion-xl" in capsys.readouterr().err


def test_check_fails_until_weights_are_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("check", "--profile", "rtx3050", "--cache", str(tmp_path))
    assert run(*asked, "kokoro-82m") == 0
    capsys.readouterr()
    assert run(*asked) == 1
    assert "atelier-admin models fetch depth-anything-v2-small" in capsys.readouterr().out


def test_check_says_which_file_of_the_shipped_weights_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = load_profile("tiny")
    assert run("check", "--profile", "tiny") == 0
    for one in tiny.models.values():
        if one.path is not None:
            shutil.copytree(one.source, tmp_path / one.path, dirs_exist_ok=True)
    monkeypatch.setattr(models.profiles.load, "_ROOT", tmp_path)
    weights = next((tmp_path / str(tiny.models["atelier-tiny"].path)).rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    capsys.readouterr()
    assert run("check", "--profile", "tiny", "--json") == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    said = [fault for found in faults.values() for fault in found]
    assert [fault["says"] for fault in said] == ["is cut short"]
    # --delete is for what can be fetched again.
    run("check", "--profile", "tiny", "--delete")
    assert weights.exists()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository; the operator's folder has a profile of it and of one it lacks."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("ATELIER_PROFILES_DIR", str(tmp_path))
    own = Hub()
    own.files = {
        "model_index.json": b"{}",
        "unet/weights.safetensors": save({"weight": np.zeros(2000, dtype=np.float32)}),
    }
    own.large = {"unet/weights.safetensors"}
    model = {
        "revision": REVISION,
        "licence": "Apache-2.0",
        "commercial": True,
        "loader": "StableDiffusionPipeline",
        "memory": {"components": {"unet": 1}, "activations": 0, "activations_sliced": 0},
    }
    profile = {
        "title": "Two models",
        "device": "cpu",
        "models": {"here": {"hub_id": REPO, **model}, "gone": {"hub_id": "no/body", **model}},
        "capabilities": {"text_to_image": {"model": "here"}, "inpaint": {"model": "gone"}},
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(profile))
    with own.serving():
        yield own


def fetch_two(hub: Hub, tmp_path: Path, *more: str) -> int:
    where = ("--cache", str(tmp_path / "cache"), "--endpoint", hub.endpoint)
    return run("fetch", "--profile", "two", *where, *more)


def test_fetch_says_what_it_will_bring_and_goes_on_after_a_model_it_cannot_get(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_two(hub, tmp_path) == 1
    said = capsys.readouterr().out
    assert "two: 1 model to fetch" in said
    assert "Apache-2.0" in said
    assert "the hub has no no/body" in said
    assert "there  here" in said
    # The next call finds it there.
    assert fetch_two(hub, tmp_path, "here") == 0
    assert "to fetch" not in capsys.readouterr().out
    assert [name for name, _ in hub.served].count("unet/weights.safetensors") == 1


def test_the_disk_must_hold_all_that_is_missing_before_anything_is_fetched(
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = type("Usage", (), {"free": 2**20})
    monkeypatch.setattr(models.weights.hub.shutil, "disk_usage", lambda _: full)
    assert fetch_two(hub, tmp_path, "here", "--json") == 1
    failed = json.loads(capsys.readouterr().out)["failed"]
    assert "make room" in failed["here"]
    assert hub.served == []


@pytest.mark.usefixtures("restricted")
def test_fetch_refuses_weights_that_may_not_be_sold(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fetch", "--profile", "rtx3050", "segformer-clothes", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert "ALLOW_NONCOMMERCIAL_WEIGHTS=1" in said["failed"]["segformer-clothes"]
