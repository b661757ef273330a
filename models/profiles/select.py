"""Select the profile of a machine: ``ATELIER_PROFILE``, or the largest that its GPU can hold."""

from __future__ import annotations

from collections.abc import Mapping

from models.profiles.load import UnknownProfile, load_profile, profile_names

PROFILE_VARIABLE = "ATELIER_PROFILE"
CPU_PROFILE = "tiny"

# A card reports less than it is sold with. An L4 of 24 GB, whose memory corrects its own errors,
# reports 22.03 GiB.
_TOLERANCE = 0.90


def select_profile(environ: Mapping[str, str], gpu_memory_gb: float | None) -> str:
    """Return the name of the profile to run.

    ``ATELIER_PROFILE`` takes precedence. Otherwise it is the profile for the largest GPU that
    ``gpu_memory_gb`` (GiB as the driver reports them, ``None``: no GPU) reaches; of two for one
    size, the first by name. Without a GPU, or with one too small for all, it is ``tiny``.

    Raises:
        UnknownProfile: ``ATELIER_PROFILE`` names no profile; the message lists all names.
    """
    requested = environ.get(PROFILE_VARIABLE, "").strip()
    if requested:
        names = profile_names()
        if requested not in names:
            raise UnknownProfile(
                f"{PROFILE_VARIABLE} is {requested!r}; there are: {', '.join(names)}"
            )
        return requested
    if gpu_memory_gb is None:
        return CPU_PROFILE
    profiles = [load_profile(name) for name in profile_names()]
    fitting = [
        profile
        for profile in profiles
        if profile.device == "cuda" and profile.vram_gb * _TOLERANCE <= gpu_memory_gb
    ]
    # max keeps the first of equals, and names come in alphabetical order.
    return max(fitting, key=lambda profile: profile.vram_gb).name if fitting else CPU_PROFILE


def gpu_memory_gb() -> float | None:
    """Return the memory of the smallest visible GPU in GiB; ``None`` without PyTorch or a GPU.

    The smallest counts, because a replica may be placed on any of them.
    """
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    cards = range(torch.cuda.device_count())
    return min(torch.cuda.get_device_properties(card).total_memory for card in cards) / 2**30
