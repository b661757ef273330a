"""A profile whose weights are not fetched yet says so of each, with what they are for."""

from pathlib import Path

import pytest

from models.profiles.load import load_profile, profile_names
from scripts import doctor_models, nvidia
from scripts import models as command

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
    said = [found.message for found in doctor_models.check_profile() if found.is_problem]
    for key, model in load_profile(name).models.items():
        named = any(message.startswith(f"{key} is not here") for message in said)
        assert named is (model.hub_id is not None), key


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_the_list_names_each_model_that_is_not_here(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(["list", "--profile", name])
    rows = capsys.readouterr().out.splitlines()
    for key, model in load_profile(name).models.items():
        row = next(row for row in rows if row.strip().startswith(f"{key} "))
        assert (" no " in row) is (model.hub_id is not None), row
