"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return the cores of this process, or its cgroup's limit of CPU time if that is less.

    A limit of one core and a half counts as two. At least 1. Containers are limited in time alone
    (``docker run --cpus``, Kubernetes' ``limits``): their affinity names all cores of the machine.
    Not covered: the limit of a cgroup that is not the root as seen here, as a systemd unit's.
    """
    cores = len(os.sched_getaffinity(0))
    limits = (limit for limit in (_limit_v2(_CGROUPS), _limit_v1(_CGROUPS)) if limit is not None)
    return max(1, min([cores, *(math.ceil(limit) for limit in limits)]))


def _limit_v2(cgroups: Path) -> float | None:
    """The limit in cores; None without one."""
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # not there, or "max"
        return None


def _limit_v1(cgroups: Path) -> float | None:
    """The limit in cores; None without one."""
    try:
        quota = int((cgroups / "cpu" / "cpu.cfs_quota_us").read_text())
        period = int((cgroups / "cpu" / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None  # -1 is no limit
    except (OSError, ValueError, ZeroDivisionError):
        return None
