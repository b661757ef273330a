"""What may not be sold is in no profile unless the operator permits it."""

import pytest

from models.profiles.catalog import catalog
from models.profiles.load import Capability, load_profile, profile_names
from models.weights.licenses import require_license

GPU_PROFILES = [name for name in profile_names() if load_profile(name).device == "cuda"]


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_without_the_flag_everything_is_offered_and_all_of_it_may_be_sold(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    profile = load_profile(name)
    assert set(profile.capabilities) == set(Capability)
    for model in profile.models.values():
        require_license(model)


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_with_the_flag_the_restricted_models_take_their_places(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_NONCOMMERCIAL_WEIGHTS", raising=False)
    worth = load_profile(name).restricted
    assert worth
    monkeypatch.setenv("ALLOW_NONCOMMERCIAL_WEIGHTS", "1")
    permitted = load_profile(name)
    for capability, use in worth.items():
        assert permitted.capability_config(capability).model == use.model
        assert not catalog()[use.model]["commercial"]
    assert set(permitted.capabilities) == set(Capability)
    assert permitted.restricted == {}
