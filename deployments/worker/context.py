"""A running job as its generator sees it, and the runner's end of the same thing.

The generator's thread calls what ``deployments.contract.Context`` names; the event loop reads
what it left. One lock guards all of it and is never held across anything slow; ``saving`` is the
event loop's own.
"""

from __future__ import annotations

import asyncio
import io
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.contract import Canceled, EarlierJob, Notes, Persona

if TYPE_CHECKING:
    from PIL.Image import Image

PREVIEW_INTERVAL_S = 0.9  # just under what a generator that counts the second itself would do


class StopReason(Enum):
    """Why the generator is being stopped."""

    CANCELED = "canceled"  # its owner asked for it
    LOST = "lost"  # the row belongs to another attempt, or is final
    OVERTIME = "overtime"  # it ran longer than its spec allows
    DRAINED = "drained"  # its replica must go: another attempt goes on with it


@dataclass(frozen=True)
class FetchedInputs:
    """What was fetched for a job before its generator began; see ``deployments.contract``."""

    inputs: Mapping[str, Path] = field(default_factory=dict)
    personas: Mapping[str, Persona] = field(default_factory=dict)
    earlier: Mapping[str, EarlierJob] = field(default_factory=dict)
    kept: Mapping[str, Path] = field(default_factory=dict)


class RunContext:
    """Implements ``deployments.contract.Context``; made by the runner, one for each attempt."""

    def __init__(self, seed: int, workdir: Path, given: FetchedInputs | None = None) -> None:
        self._seed = seed
        self._workdir = workdir
        self._fetched = given or FetchedInputs()
        self._to_keep: list[Path] = []
        self.saving = asyncio.Lock()  # held while files that were to be kept are being stored
        self._lock = threading.Lock()
        self._stop_reason: StopReason | None = None
        self._fraction = 0.0
        self._stage = ""
        self._stage_since = time.monotonic()
        self._preview: bytes | None = None
        self._preview_at = -math.inf
        self._notes = Notes()

    @property
    def seed(self) -> int:
        self._check()
        return self._seed

    @property
    def workdir(self) -> Path:
        self._check()
        return self._workdir

    @property
    def inputs(self) -> dict[str, Path]:
        self._check()
        return dict(self._fetched.inputs)

    @property
    def personas(self) -> dict[str, Persona]:
        self._check()
        return dict(self._fetched.personas)

    @property
    def earlier(self) -> dict[str, EarlierJob]:
        self._check()
        return dict(self._fetched.earlier)

    @property
    def kept(self) -> dict[str, Path]:
        self._check()
        return dict(self._fetched.kept)

    def keep(self, path: Path) -> None:
        """Raises ValueError for what is no file of the work directory itself."""
        self._check()
        if path.parent != self._workdir or not path.is_file():
            raise ValueError(f"{path.name} is no file of the work directory")
        with self._lock:
            self._to_keep.append(path)

    def progress(self, fraction: float, stage: str) -> None:
        """A fraction outside 0..1 is clipped, and one behind the last is not shown."""
        self._check()
        self.enter_stage(stage)
        if not math.isnan(fraction):
            with self._lock:
                self._fraction = max(self._fraction, min(fraction, 1.0))

    def preview(self, image: Image) -> None:
        self._check()
        with self._lock:
            if time.monotonic() - self._preview_at < PREVIEW_INTERVAL_S:
                return
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        with self._lock:
            self._preview, self._preview_at = buffer.getvalue(), time.monotonic()

    def note(self, **values: Any) -> None:
        self._check()
        with self._lock:
            self._notes.values.update(values)

    # From here on: the runner's end, which no stop disturbs.

    def stop(self, reason: StopReason) -> None:
        """Make the generator's next call raise; the first reason given stays."""
        with self._lock:
            self._stop_reason = self._stop_reason or reason

    def set_inputs(self, given: FetchedInputs) -> None:
        """What was fetched, before the generator begins."""
        self._fetched = given

    @property
    def stop_reason(self) -> StopReason | None:
        with self._lock:
            return self._stop_reason

    def enter_stage(self, stage: str) -> None:
        """Begin a stage, which ends the one before; the same stage again goes on."""
        with self._lock:
            if stage == self._stage:
                return
            now = time.monotonic()
            if self._notes.stages:
                self._notes.stages[-1]["seconds"] = round(now - self._stage_since, 4)
            self._notes.stages.append({"name": stage, "started_at": datetime.now(UTC).isoformat()})
            self._stage, self._stage_since = stage, now

    @property
    def state(self) -> tuple[float, str]:
        """How far the job is (0..1), and what is being done."""
        with self._lock:
            return self._fraction, self._stage

    def take_preview(self) -> bytes | None:
        """The newest preview as PNG, once."""
        with self._lock:
            taken, self._preview = self._preview, None
            return taken

    def take_files_to_keep(self) -> list[Path]:
        """The files to be kept since the last call, oldest first."""
        with self._lock:
            taken, self._to_keep = self._to_keep, []
            return taken

    def notes(self) -> Notes:
        """A copy of what was gathered; the stage still open has its seconds so far."""
        with self._lock:
            stages = [dict(stage) for stage in self._notes.stages]
            if stages:
                stages[-1]["seconds"] = round(time.monotonic() - self._stage_since, 4)
            return Notes(dict(self._notes.values), stages)

    def _check(self) -> None:
        with self._lock:
            if self._stop_reason is not None:
                raise Canceled(self._stop_reason.value)
