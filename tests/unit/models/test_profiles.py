"""Profiles are checked when they are read, and licences before weights are."""

import pytest
from pydantic import ValidationError

from models.profiles import Profile, UnknownProfile, Weights, load_profile
from models.weights import NonCommercialWeights, require_licence


def test_the_tiny_profile_names_weights_that_are_there() -> None:
    profile = load_profile("tiny")
    assert profile.device == "cpu"
    assert profile.text_to_image.weights.commercial


def test_an_unknown_profile_is_told_which_there_are() -> None:
    with pytest.raises(UnknownProfile, match="tiny"):
        load_profile("../tiny")


def test_a_misspelt_field_is_refused() -> None:
    good = load_profile("tiny").model_dump()
    with pytest.raises(ValidationError):
        Profile.model_validate(good | {"devise": "cpu"})


def test_weights_that_forbid_commercial_use_need_an_explicit_flag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = Weights(
        name="w", hub_id="a/b", revision="1", licence="CC-BY-NC-4.0", commercial=False
    )
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    with pytest.raises(NonCommercialWeights, match=r"CC-BY-NC-4\.0"):
        require_licence(weights)
    monkeypatch.setenv("ALLOW_NONCOMMERCIAL_WEIGHTS", "1")
    require_licence(weights)
