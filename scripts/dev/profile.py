"""The profile that ./scripts/run uses: chosen by the machine's card, and its weights fetched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from rich.console import Console

from atelier_admin import nvidia
from atelier_admin.errors import DONE
from models.profiles.load import Profile, UnknownProfile, load_profile
from models.profiles.operator_files import InvalidProfileFile
from models.profiles.select import CPU_PROFILE, PROFILE_VARIABLE, select_profile


class ProfileNotUsable(RuntimeError):
    """The profile cannot run on this machine; the message says why and what to do."""


def choose_profile(
    asked: str | None, cpu: bool, environ: Mapping[str, str], console: Console
) -> Profile:
    """The profile ``asked`` for, else that of ``ATELIER_PROFILE``, else the one for the card.

    With ``cpu``, or where no card can be used, it is ``tiny``; what keeps a card from being used is
    said.

    Raises:
        ProfileNotUsable: there is no such profile, or it needs a card that cannot be used.
    """
    named = asked or environ.get(PROFILE_VARIABLE, "").strip() or (CPU_PROFILE if cpu else "")
    usable, obstacle = _usable_cards()
    try:
        name = named or select_profile(environ, nvidia.smallest_gb(usable))
        profile = load_profile(name)
    except (UnknownProfile, InvalidProfileFile) as error:
        raise ProfileNotUsable(str(error)) from error
    if profile.device == "cuda":
        if cpu:
            raise ProfileNotUsable(f"the profile {name} needs a card, and --cpu forbids it")
        if not usable:
            raise ProfileNotUsable(
                f"the profile {name} needs an NVIDIA card: {obstacle or 'none was found'}"
            )
        _require_cuda(name)
    elif not named and usable:
        obstacle = f"no profile is made for {nvidia.smallest_gb(usable):.0f} GB"
    if not named and obstacle:
        console.print(f"no card is used: {obstacle}", style="yellow", highlight=False)
    card = f" on {usable[0].name}" if profile.device == "cuda" else ""
    console.print(f"profile {profile.name}{card}: {profile.title}", highlight=False)
    return profile


def _usable_cards() -> tuple[list[nvidia.Card], str]:
    """The cards that can be used, and what keeps those that are there from it."""
    try:
        found = nvidia.cards()
    except nvidia.DriverFailed as error:
        return [], str(error)
    if found and nvidia.torch_is_for_cpu():
        return [], (
            f"PyTorch is installed without CUDA; to use the {found[0].name}, delete .venv and"
            " start again without --cpu"
        )
    return found, ""


def fetch_weights(profile: Profile, console: Console) -> None:
    """Fetch what the profile's models lack; nothing is asked of a hub where all is there.

    Raises:
        ProfileNotUsable: something could not be fetched; what has arrived is kept.
    """
    if not any(model.hub_id or model.single_file for model in profile.models.values()):
        return
    # These import torch, which a start without weights of a hub can save.
    from atelier_admin.model_files import Models
    from models.weights.hub import required_models

    if all(need.present for need in required_models(profile)):
        return
    if Models(profile, as_json=False, cache=None, endpoint=None).fetch(()) != DONE:
        raise ProfileNotUsable(
            f"not all weights of {profile.name} are here (see above); start again to go on,"
            f" or run the small models: ./scripts/run --profile {CPU_PROFILE}"
        )


def _require_cuda(name: str) -> None:
    """See that PyTorch itself can use the card; in a process of its own, which it would fill."""
    says = "import torch; torch.zeros(1, device='cuda')"
    ended = subprocess.run(
        [sys.executable, "-c", says], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ProfileNotUsable(
            f"the profile {name} needs a card, and PyTorch cannot use it: {last}"
        )
