"""Which profile a machine gets."""

import sys

import pytest

from models.profiles.load import UnknownProfile
from models.profiles.select import gpu_memory_gb, select_profile


@pytest.mark.parametrize(
    ("memory", "profile"),
    [
        (None, "tiny"),
        (4.0, "tiny"),
        (7.6, "rtx3050"),  # what a card sold as 8 GB reports
        (10.0, "rtx3050"),
        (11.6, "rtx3060"),
        (14.56, "rtx4080"),  # T4
        (15.6, "rtx4080"),
        (22.03, "rtx4090"),  # L4
        (22.06, "rtx4090"),  # A10G
        (23.6, "rtx4090"),
        (31.4, "rtx4090"),  # RTX 5090
        (44.4, "l40s"),
        (47.5, "l40s"),  # RTX A6000
        (79.1, "datacenter"),
        (139.8, "datacenter"),
    ],
)
def test_a_gpu_gets_the_largest_profile_it_can_hold(memory: float | None, profile: str) -> None:
    assert select_profile({}, memory) == profile


def test_the_environment_wins() -> None:
    assert select_profile({"ATELIER_PROFILE": "rtx4080"}, None) == "rtx4080"
    assert select_profile({"ATELIER_PROFILE": " "}, 24.0) == "rtx4090"


def test_a_misspelt_profile_is_told_which_there_are() -> None:
    with pytest.raises(UnknownProfile, match=r"ATELIER_PROFILE is 'rtx4900'.*rtx3050.*rtx4090"):
        select_profile({"ATELIER_PROFILE": "rtx4900"}, 24.0)


def test_a_machine_without_pytorch_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu_memory_gb() is None


def test_of_several_gpus_the_smallest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    cards = [type("Card", (), {"total_memory": gb * 2**30}) for gb in (24, 8)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    assert gpu_memory_gb() == 8.0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_memory_gb() is None
