"""The context of a running job: the generator reports to it, the runner reads from it.

The generator's thread calls the methods of ``deployments.contract.Context``; the event loop reads
the progress, previews and files they leave. One lock guards that state, and nothing slow happens
under it. ``saving`` is for the event loop only.
"""

from __future__ import annotations

import asyncio
import io
import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.contract import EarlierJob, Notes, Persona, Stopped
from deployments.job_log import MAX_LINES, Level, LogLine
from models.inference.inference import NOBODY, Caller, Inference, ModelLoad

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.profiles.load import Profile

PREVIEW_INTERVAL_S = 0.9  # just under a second: a generator may limit itself to one a second


class StopReason(Enum):
    """Why the generator is being stopped."""

    CANCELED = "canceled"  # the job's owner asked for it
    LOST = "lost"  # the row belongs to another attempt, or is final
    OVERTIME = "overtime"  # the generator ran longer than its spec allows
    DRAINED = "drained"  # the replica shuts down: the next attempt goes on


@dataclass(frozen=True)
class FetchedInputs:
    """The local files of a job's input, by the fields of ``deployments.contract.Context``."""

    inputs: Mapping[str, Path] = field(default_factory=dict)
    personas: Mapping[str, Persona] = field(default_factory=dict)
    earlier: Mapping[str, EarlierJob] = field(default_factory=dict)
    kept: Mapping[str, Path] = field(default_factory=dict)
    # What is behind each reference, by its name (``deployments.result_key``), where that is known.
    contents: Mapping[str, Any] = field(default_factory=dict)


class RunContext:
    """Implements ``deployments.contract.Context``. The runner creates one for each attempt."""

    def __init__(
        self,
        seed: int,
        workdir: Path,
        fetched: FetchedInputs | None = None,
        *,
        inference: Inference | None = None,
        caller: Caller = NOBODY,
        attempt: int = 1,
    ) -> None:
        """``inference`` is bound to ``caller``, to this context's stop and to its log."""
        self._seed, self._attempt = seed, attempt
        self._inference = (
            None if inference is None else inference.bind(caller, self._check, self._tell_of_load)
        )
        self._workdir = workdir
        self._fetched = fetched or FetchedInputs()
        self._to_keep: list[Path] = []
        self.saving = asyncio.Lock()  # held while kept files are being stored
        self._lock = threading.Lock()
        self._stop_reason: StopReason | None = None
        self._fraction = 0.0
        self._stage = ""
        self._stage_since = time.monotonic()
        self._preview: bytes | None = None
        self._preview_at = -math.inf
        self._watched = False
        self._charged_share = 1.0
        self._notes = Notes()
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._version = 0

    @property
    def seed(self) -> int:
        self._check()
        return self._seed

    @property
    def workdir(self) -> Path:
        self._check()
        return self._workdir

    @property
    def inference(self) -> Inference:
        self._check()
        if self._inference is None:
            raise RuntimeError("this replica has no models")
        return self._inference

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
        """Ask for a finished file to be stored for a later attempt.

        Raises:
            ValueError: the path is not a file directly in the work directory.
        """
        self._check()
        if path.parent != self._workdir or not path.is_file():
            raise ValueError(f"{path.name} is no file of the work directory")
        with self._lock:
            self._to_keep.append(path)

    def progress(self, fraction: float, stage: str) -> None:
        """Clip ``fraction`` to 0..1; progress never goes back."""
        self._check()
        self.enter_stage(stage)
        if not math.isnan(fraction):
            with self._lock:
                self._fraction = max(self._fraction, min(fraction, 1.0))

    def preview(self, image: Image) -> None:
        self._check()
        with self._lock:
            if not self._watched or time.monotonic() - self._preview_at < PREVIEW_INTERVAL_S:
                return
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        with self._lock:
            self._preview, self._preview_at = buffer.getvalue(), time.monotonic()

    def charge_only(self, share: float) -> None:
        self._check()
        if not 0 <= share <= 1:
            raise ValueError(f"{share} is no share of a quote")
        with self._lock:
            self._charged_share = share

    def note(self, **values: Any) -> None:
        self._check()
        with self._lock:
            self._notes.values.update(values)
            self._version += 1

    def log(self, message: str, level: Level = "info") -> None:
        self._check()
        self.add_line(message, level)

    # The methods below are for the runner, and work after a stop as well.

    def stop(self, reason: StopReason) -> None:
        """Make the generator's next call raise ``Stopped``; the first reason stays."""
        with self._lock:
            self._stop_reason = self._stop_reason or reason

    def set_inputs(self, fetched: FetchedInputs) -> None:
        """Set the fetched files, before the generator begins."""
        self._fetched = fetched

    def set_watched(self, watched: bool) -> None:
        """Take previews, or take none. At first there is nobody to see them."""
        with self._lock:
            self._watched = watched

    def add_line(self, message: str, level: Level = "info") -> None:
        """Add a line to the job's log."""
        line = LogLine.of(message, level, self._attempt)
        with self._lock:
            self._add(line)

    @property
    def version(self) -> int:
        """Grows with everything that ``notes`` returns anew, but for the seconds of a stage."""
        with self._lock:
            return self._version

    @property
    def contents(self) -> Mapping[str, Any]:
        return self._fetched.contents

    @property
    def known_profile(self) -> Profile | None:
        """The profile of the models, ``None`` if there are none or nothing asked for it yet."""
        return None if self._inference is None else self._inference.known_profile

    @property
    def stop_reason(self) -> StopReason | None:
        with self._lock:
            return self._stop_reason

    def enter_stage(self, stage: str) -> None:
        """Begin a stage and end the one before. The current stage's name changes nothing."""
        with self._lock:
            if stage == self._stage:
                return
            now = time.monotonic()
            if self._notes.stages:
                took = now - self._stage_since
                self._notes.stages[-1]["seconds"] = round(took, 4)
                self._add(LogLine.of(f"{self._stage} took {took:.1f} s", "info", self._attempt))
            self._notes.stages.append({"name": stage, "started_at": datetime.now(UTC).isoformat()})
            self._add(LogLine.of(f"{stage} began", "info", self._attempt))
            self._stage, self._stage_since = stage, now

    @property
    def state(self) -> tuple[float, str]:
        """The progress (0..1) and the name of the current stage."""
        with self._lock:
            return self._fraction, self._stage

    @property
    def charged_share(self) -> float:
        """The share (0..1) of the quote that the generator says is delivered, once it is done."""
        with self._lock:
            return self._charged_share

    def take_preview(self) -> bytes | None:
        """Return the newest preview as PNG, and forget it."""
        with self._lock:
            taken, self._preview = self._preview, None
            return taken

    def take_files_to_keep(self) -> list[Path]:
        """Return the files to keep that were added since the last call, oldest first."""
        with self._lock:
            taken, self._to_keep = self._to_keep, []
            return taken

    def notes(self) -> Notes:
        """Return a copy of the notes; the current stage has its seconds so far."""
        with self._lock:
            stages = [dict(stage) for stage in self._notes.stages]
            if stages:
                stages[-1]["seconds"] = round(time.monotonic() - self._stage_since, 4)
            lines = [line.as_json() for line in self._lines]
            return Notes(dict(self._notes.values), stages, lines)

    def _add(self, line: LogLine) -> None:
        """Called under the lock."""
        self._lines.append(line)
        self._version += 1

    def _tell_of_load(self, load: ModelLoad) -> None:
        if load.seconds is None:
            self.add_line(f"loading model {load.key}")
        else:
            self.add_line(f"model {load.key} loaded in {load.seconds:.1f} s")

    def _check(self) -> None:
        with self._lock:
            if self._stop_reason is not None:
                raise Stopped(self._stop_reason.value)
