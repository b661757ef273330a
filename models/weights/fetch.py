"""Fetch several models: the disk must hold all that they lack before the first is begun."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.weights.hub import (
    DiskFull,
    HubError,
    ProgressCallback,
    RequiredModel,
    cache_folder,
    download_model,
    missing_bytes,
    require_disk_space,
)
from models.weights.licenses import NonCommercialWeights

#: Why a model was not fetched.
Reason = HubError | NonCommercialWeights


@dataclass(frozen=True)
class FetchPlan:
    """What to fetch, by the models' keys.

    ``missing`` has the bytes that each lacks, as the hub lists them now, and 0 where all is there;
    ``failed`` has the models that cannot be fetched.
    """

    wanted: tuple[RequiredModel, ...]
    missing: Mapping[str, int]
    failed: Mapping[str, Reason]

    @property
    def bytes(self) -> int:
        return sum(self.missing.values())


def plan_fetch(
    wanted: Sequence[RequiredModel], *, cache: Path | None = None, endpoint: str | None = None
) -> FetchPlan:
    """Ask the hub what is missing of ``wanted``, and look whether the disk holds all of it."""
    failed: dict[str, Reason] = {}
    missing: dict[str, int] = {}
    for need in wanted:
        try:
            missing[need.key] = missing_bytes(need.model, cache=cache, endpoint=endpoint)
        except (HubError, NonCommercialWeights) as problem:
            failed[need.key] = problem
    try:
        require_disk_space(sum(missing.values()), cache)
    except DiskFull as problem:
        failed |= {key: problem for key, size in missing.items() if size}
        missing = {key: 0 for key, size in missing.items() if not size}
    return FetchPlan(tuple(wanted), missing, failed)


def carry_out(
    plan: FetchPlan,
    progress: Callable[[str], ProgressCallback | None],
    *,
    cache: Path | None = None,
    endpoint: str | None = None,
) -> dict[str, Reason]:
    """Fetch what ``plan`` says; return why models were not fetched, those of the plan among them.

    ``progress`` is asked for a callback for each model that lacks something. A model that cannot
    be fetched does not keep the others from it.
    """
    failed = dict(plan.failed)
    for need in plan.wanted:
        if need.key not in plan.missing:
            continue
        try:
            report = progress(need.key) if plan.missing[need.key] else None
            download_model(need.model, report, cache=cache, endpoint=endpoint)
        except (HubError, NonCommercialWeights) as problem:
            failed[need.key] = problem
    return failed


@contextmanager
def fetch_lock(waits: Callable[[], None], *, cache: Path | None = None) -> Iterator[None]:
    """Let one process at a time fetch into the cache; ``waits`` is called if another does.

    The kernel lets go of the lock when its process ends, however that ends.
    """
    folder = cache_folder(cache) / ".locks"  # the hub's client keeps its own there
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "atelier-fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass  # a network's disk without locks: the hub's client keeps each file whole
        yield
