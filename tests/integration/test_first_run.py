"""What ./scripts/run and the doctor make of the machine's cards, with a driver that is played."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from atelier_admin import diagnosis_models, nvidia
from models.profiles.load import load_profile
from scripts.dev import profile as dev_profile
from scripts.dev.profile import ProfileNotUsable, choose_profile

# What nvidia-smi 550 prints.
HEADER = "| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15    CUDA Version: 12.4     |"
L4 = "NVIDIA L4, 23034, 512, 550.54.15"
RTX_3060 = "NVIDIA GeForce RTX 3060, 12288, 1800, 550.54.15"
GT_1030 = "NVIDIA GeForce GT 1030, 2048, 100, 550.54.15"

Driver = Callable[..., None]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Puts an nvidia-smi that answers so onto the PATH."""
    monkeypatch.delenv("ATELIER_PROFILE", raising=False)
    monkeypatch.setattr(nvidia, "torch_is_for_cpu", lambda: False)
    monkeypatch.setattr(dev_profile, "_require_cuda", lambda name: None)

    def install(*cards: str, fails: str = "") -> None:
        program = tmp_path / "nvidia-smi"
        lines = "\n".join(cards)
        answer = f"echo '{fails}'; exit 9" if fails else f"cat <<'END'\n{lines}\nEND"
        program.write_text(
            f'#!/bin/sh\ncase "$1" in --query*) {answer}\n;; *) echo "{HEADER}";; esac\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return install


def chosen(asked: str | None = None, cpu: bool = False) -> tuple[str, str]:
    """The name of the profile, and what was said."""
    console = Console(file=io.StringIO(), width=200)
    profile = choose_profile(asked, cpu, os.environ, console)
    return profile.name, console.file.getvalue()  # type: ignore[attr-defined]


def test_without_a_card_it_is_the_small_models() -> None:
    name, said = chosen()
    assert name == "tiny"
    assert "no card" not in said


@pytest.mark.parametrize(("card", "gigabytes"), [(L4, 24), (RTX_3060, 12)])
def test_a_card_picks_its_profile(driver: Driver, card: str, gigabytes: int) -> None:
    driver(card)
    name, said = chosen()
    assert load_profile(name).vram_gb == gigabytes
    assert f"on {card.split(',')[0]}" in said


def test_of_two_cards_the_smaller_counts(driver: Driver) -> None:
    driver(L4, RTX_3060)
    assert load_profile(chosen()[0]).vram_gb == 12


def test_a_card_too_small_is_said_to_be(driver: Driver) -> None:
    driver(GT_1030)
    name, said = chosen()
    assert name == "tiny"
    assert "no profile is made for 2 GB" in said


def test_what_was_asked_for_stands_above_the_card(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(L4)
    assert chosen(cpu=True)[0] == "tiny"
    monkeypatch.setenv("ATELIER_PROFILE", "rtx3060")
    assert chosen()[0] == "rtx3060"
    assert chosen(asked="tiny")[0] == "tiny"


def test_a_profile_that_cannot_run_is_refused_with_the_reason(driver: Driver) -> None:
    with pytest.raises(ProfileNotUsable, match="none was found"):
        chosen(asked="rtx3060")
    with pytest.raises(ProfileNotUsable, match="there are:"):
        chosen(asked="rtx9999")
    driver(L4)
    with pytest.raises(ProfileNotUsable, match="--cpu forbids it"):
        chosen(asked="rtx3060", cpu=True)


def test_a_build_of_pytorch_without_cuda_is_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(L4)
    monkeypatch.setattr(nvidia, "torch_is_for_cpu", lambda: True)
    name, said = chosen()
    assert name == "tiny"
    assert "to use the NVIDIA L4, delete .venv" in said
    with pytest.raises(ProfileNotUsable, match="without CUDA"):
        chosen(asked="rtx3060")
    assert [finding.is_problem for finding in diagnosis_models.check_gpu()] == [False, True]


def test_pytorch_is_asked_whether_it_can_use_the_card(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(nvidia, "cards", lambda: [nvidia.Card("NVIDIA L4", 23034, 0, "550")])
    monkeypatch.setattr(nvidia, "torch_is_for_cpu", lambda: False)
    # PyTorch says itself that it was built without CUDA, or that there is no driver.
    with pytest.raises(ProfileNotUsable, match=r"PyTorch cannot use it: .*(CUDA|NVIDIA driver)"):
        chosen(asked="rtx3060")


def test_a_driver_that_does_not_answer_is_said_to(driver: Driver) -> None:
    driver(fails="Failed to initialize NVML: Driver/library version mismatch")
    name, said = chosen()
    assert name == "tiny"
    assert "version mismatch" in said
    (finding,) = diagnosis_models.check_gpu()
    assert finding.is_problem
    assert "version mismatch" in finding.message


def test_the_doctor_names_driver_memory_in_use_and_every_absent_model(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(RTX_3060)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    card, *_ = diagnosis_models.check_gpu()
    assert "12288 MiB, 1800 of it in use" in card.message
    assert "driver 550.54.15, CUDA up to 12.4" in card.message
    found = list(diagnosis_models.check_profile())
    profile = load_profile(chosen()[0])
    said = "\n".join(finding.message for finding in found)
    for model in profile.models.values():
        if model.hub_id is not None:
            assert model.name in said
    assert f"fetch --profile {profile.name}" in said


def test_the_doctor_says_who_speaks_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PROFILE", "tiny")
    monkeypatch.delenv("ATELIER_SPEECH")
    assert "Kokoro speaks" in [finding.message for finding in diagnosis_models.check_profile()]
    monkeypatch.setenv("ATELIER_SPEECH", "espeak-ng")
    said = "\n".join(finding.message for finding in diagnosis_models.check_profile())
    assert "eSpeak NG speaks in place of Kokoro: ATELIER_SPEECH" in said
