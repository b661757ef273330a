"""A GPU manager fetches what its profile lacks, against a small hub on this machine."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from huggingface_hub import constants

from deployments.gpu_manager import deployment, weights
from models import profiles
from models.profiles.load import Profile, load_profile
from models.weights.fetch import fetch_lock
from models.weights.hub import HubUnreachable
from tests.support.hub import REPO, REVISION, Hub

PACK = Path(load_profile("tiny").models["atelier-tiny"].source)
TINY = Path(profiles.__file__).parent / "tiny.yaml"
MODEL: dict[str, Any] = {
    "hub_id": REPO,
    "revision": REVISION,
    "licence": "Apache-2.0",
    "commercial": True,
    "loader": "StableDiffusionPipeline",
    "memory": {"components": {"unet": 11}, "activations": 60, "activations_sliced": 40},
}
_USES = ("text_to_image", "inpaint", "image_to_image")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that has the miniature weights, which an empty cache lacks."""
    own = Hub()
    own.files = {
        path.relative_to(PACK).as_posix(): path.read_bytes()
        for path in PACK.rglob("*")
        if path.is_file()
    }
    own.large = {name for name in own.files if name.endswith(".safetensors")}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # The client's own address of a hub is fixed when it is imported, and is not on this machine.
    here = partial(weights.fetch_weights, endpoint=own.endpoint)
    monkeypatch.setattr(weights, "fetch_weights", here)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "PAUSE_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("ATELIER_PROFILES_DIR", str(tmp_path))
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    with own.serving():
        yield own


def profile(tmp_path: Path, **models: dict[str, Any]) -> Profile:
    """A profile of the hub's model, and of ``models``."""
    tiny = yaml.safe_load(TINY.read_text())["capabilities"]
    said = {
        "title": "Own",
        "device": "cpu",
        "models": {"drawn": MODEL, **models},
        # Each model needs a capability that uses it.
        "capabilities": {
            use: {**tiny[use], "model": key}
            for use, key in zip(_USES, ("drawn", *models), strict=False)
        },
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(said))
    return load_profile("own")


def fetched(hub: Hub) -> list[str]:
    return sorted(name for name, _ in hub.served)


def test_a_manager_with_an_empty_cache_fetches_and_then_loads(hub: Hub, tmp_path: Path) -> None:
    profile(tmp_path)
    with structlog.testing.capture_logs() as lines:
        deployment._load("own", lambda job: True)  # draws one picture with them
    assert fetched(hub) == sorted(hub.files)
    size = sum(map(len, hub.files.values()))
    first, last = lines
    assert (first["event"], first["models"], first["bytes"]) == (
        "weights_fetching",
        ["drawn"],
        size,
    )
    assert (last["event"], last["bytes"]) == ("weights_fetched", size)


def test_nothing_is_asked_of_a_hub_when_all_is_there(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither a file of the operator's nor weights that may not be used are for a hub to bring.
    file = {**MODEL, "single_file": str(tmp_path / "nowhere.safetensors")}
    own = profile(
        tmp_path, file=file, forbidden={**MODEL, "hub_id": "no/body", "commercial": False}
    )
    weights.fetch_weights(own)
    hub.refuse = (500, "Broken")
    monkeypatch.setattr(weights, "TRIES", 1)
    weights.fetch_weights(own)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    weights.fetch_weights(own)
    weights.fetch_weights(load_profile("tiny"))


def test_a_manager_that_may_not_ask_names_what_is_missing_and_the_command(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = profile(tmp_path, other={**MODEL, "hub_id": "no/body"})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with structlog.testing.capture_logs() as lines:
        weights.fetch_weights(own)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("weights_missing", "error")
    assert sorted(line["models"]) == ["drawn", "other"]
    assert line["mend"] == "./scripts/node exec atelier-admin models fetch"
    assert hub.served == []


def test_of_two_managers_on_one_machine_one_fetches(hub: Hub, tmp_path: Path) -> None:
    own, failed = profile(tmp_path), []

    def fetch() -> None:
        try:
            weights.fetch_weights(own)
        except Exception as error:
            failed.append(error)

    waiting = threading.Semaphore(0)
    threads = [threading.Thread(target=fetch) for _ in range(2)]
    with structlog.testing.capture_logs() as lines, fetch_lock(waiting.release):
        for thread in threads:
            thread.start()
        # Both have seen that files are missing before either may fetch them.
        for _ in range(3000):
            if [line["event"] for line in lines] == ["weights_fetched_by_another"] * 2:
                break
            threading.Event().wait(0.02)
        else:
            pytest.fail(f"they did not wait: {lines}")
        assert hub.served == []
    for thread in threads:
        thread.join()
    assert failed == []
    assert fetched(hub) == sorted(hub.files)


def test_a_model_that_cannot_be_had_is_named_and_the_others_arrive(
    hub: Hub, tmp_path: Path
) -> None:
    own = profile(tmp_path, gone={**MODEL, "hub_id": "no/body"})
    with structlog.testing.capture_logs() as lines:
        weights.fetch_weights(own)
    (line,) = (line for line in lines if line["event"] == "weights_not_fetched")
    assert list(line["models"]) == ["gone"] and "no/body" in line["models"]["gone"]
    assert fetched(hub) == sorted(hub.files)


def test_a_hub_that_is_away_for_a_moment_is_asked_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serve gives up after three failed starts."""
    from models.weights import fetch

    real, calls = fetch.download_model, []

    def away(*given: Any, **options: Any) -> Any:
        calls.append(given)
        if len(calls) < 5:
            raise HubUnreachable("the hub does not answer")
        return real(*given, **options)

    monkeypatch.setattr(fetch, "download_model", away)
    weights.fetch_weights(profile(tmp_path))
    assert fetched(hub) == sorted(hub.files)
    assert len(calls) == 5


def test_how_far_it_is_is_said_now_and_then(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    for each, least, most in ((0.0, 5, 1000), (3600.0, 0, 0)):
        monkeypatch.setattr(weights, "SAY_EACH_S", each)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / f"cache{each}"))
        with structlog.testing.capture_logs() as lines:
            weights.fetch_weights(profile(tmp_path))
        said = [line for line in lines if line["event"] == "weights_arriving"]
        assert least <= len(said) <= most
        assert all(line["bytes"] <= line["of"] for line in said)
