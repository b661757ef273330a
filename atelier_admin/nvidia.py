"""The NVIDIA cards of this machine, as their driver reports them.

``nvidia-smi`` comes with every driver and answers in a fraction of a second, whatever PyTorch is
installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata

_QUERY = ("name", "memory.total", "memory.used", "driver_version")
_SECONDS = 20


class DriverFailed(RuntimeError):
    """The driver is installed and does not answer; the message is its own."""


@dataclass(frozen=True)
class Card:
    """One card; memory in MiB, ``used_mb`` by all programs at this moment."""

    name: str
    total_mb: int
    used_mb: int
    driver: str


def cards() -> list[Card]:
    """The cards of this machine; none without NVIDIA's driver.

    Raises:
        DriverFailed: the driver does not answer, as after an update without a restart.
    """
    answer = _nvidia_smi(f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits")
    found = []
    for line in answer.splitlines():
        name, total, used, driver = (field.strip() for field in line.split(","))
        # A card with unified memory (Grace Hopper's smaller siblings) says "[N/A]".
        if total.isdigit():
            found.append(Card(name, int(total), int(used) if used.isdigit() else 0, driver))
    return found


def cuda_version() -> str | None:
    """The newest CUDA that the driver can run, such as ``12.8``.

    Raises:
        DriverFailed: see :func:`cards`.
    """
    said = re.search(r"CUDA Version:\s*([\d.]+)", _nvidia_smi())
    return said[1] if said else None


def smallest_gb(found: list[Card]) -> float | None:
    """The memory of the smallest card in GiB: a replica may be placed on any of them."""
    return min(card.total_mb for card in found) / 1024 if found else None


def torch_is_for_cpu() -> bool:
    """Whether the installed PyTorch is a build that knows no card."""
    return metadata.version("torch").endswith("+cpu")


def _nvidia_smi(*arguments: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        ended = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverFailed(f"nvidia-smi does not answer: {error}") from error
    if ended.returncode:
        message = (ended.stdout + ended.stderr).strip()
        raise DriverFailed(f"nvidia-smi: {message[-300:]}")
    return ended.stdout
