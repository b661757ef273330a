"""A profile whose weights are not fetched yet says so of each, with what they are for.

``tests/generators/test_every_profile.py`` starts all six generators where they are fetched.
"""

from pathlib import Path

import pytest

from atelier_admin import diagnosis_models, nvidia
from atelier_admin.main import main
from models.profiles.load import load_profile, profile_names
from scripts.reference import shipped_specs
from serve_app.jobs.submit import check_input
from tests.support.running_generators import example

GPU_PROFILES = [name for name in profile_names() if load_profile(name).device == "cuda"]


@pytest.fixture(autouse=True)
def _nothing_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(nvidia, "cards", list)


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_the_doctor_names_each_model_that_is_not_here(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_PROFILE", name)
    said = [found.message for found in diagnosis_models.check_profile() if found.is_problem]
    for key, model in load_profile(name).models.items():
        named = any(message.startswith(f"{key} is not here") for message in said)
        assert named is (model.hub_id is not None), key


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_the_list_names_each_model_that_is_not_here(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--profile", name]) == 0
    rows = capsys.readouterr().out.splitlines()
    for key, model in load_profile(name).models.items():
        row = next(row for row in rows if row.strip().startswith(f"{key} "))
        assert (" no " in row) is (model.hub_id is not None), row


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_all_six_generators_are_offered_before_anything_is_fetched(name: str) -> None:
    """Each quotes its example: the profile has models for all that it asks for."""
    profile = load_profile(name)
    specs = shipped_specs()
    assert len(specs) == 6
    for spec in specs:
        assert check_input(spec, example(spec), "free", profile).lines
