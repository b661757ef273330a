"""A generator at work without the service around it: its example as input, its context watched."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from atelier_client.command.inputs import read_input
from benchmarks.tiny_models import tiny_inference
from deployments.catalog import new_generator
from deployments.contract import Artifact, GeneratorSpec, Stopped
from deployments.references import Media, find_references
from deployments.worker.context import FetchedInputs, RunContext, StopReason
from models.inference.inference import Inference

Watcher = Callable[["Watched"], None]

# From a cancel to the end, in seconds of CPU of all threads: several times what it takes.
STOPS_WITHIN_S = 15.0


def folder_of(spec: GeneratorSpec[Any]) -> Path:
    found = find_spec(spec.entry.partition(":")[0])
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def example(spec: GeneratorSpec[Any], name: str = "input") -> dict[str, Any]:
    """An input that the generator ships, its files as data URIs."""
    return read_input([str(folder_of(spec) / "example" / f"{name}.json")], as_data)


def quick_example(spec: GeneratorSpec[Any]) -> dict[str, Any]:
    """The plain one, for tests that run it often: few pictures, and a film with few frames and
    scenes."""
    quick = example(spec)
    if "images" in quick:
        quick["images"] = quick["images"][-2:]
    if "fps" in spec.request.model_fields:
        quick["fps"] = 8
    if "story" in quick:
        title, *scenes = quick["story"].split("\n\n")
        quick["story"] = "\n\n".join([title, *scenes[:2]])
    return quick


def examples(spec: GeneratorSpec[Any]) -> list[str]:
    """The names of the inputs it ships; ``input`` is the plain one."""
    return sorted(path.stem for path in (folder_of(spec) / "example").glob("*.json"))


def as_data(path: Path) -> dict[str, str]:
    kind, _ = mimetypes.guess_type(path.name)
    content = base64.b64encode(path.read_bytes()).decode()
    return {"data": f"data:{kind};base64,{content}"}


def fetched(request: BaseModel, folder: Path) -> FetchedInputs:
    """What the runner would fetch for a request whose media are all in it."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {}
    for reference in find_references(request):
        assert isinstance(reference.target, Media), f"{reference.name} is not in the example"
        assert reference.target.data is not None
        path = folder / reference.name
        path.write_bytes(base64.b64decode(reference.target.data.partition(",")[2]))
        inputs[reference.name] = path
    return FetchedInputs(inputs)


class Watched(RunContext):
    """Remembers what it was told; ``watcher`` sees every progress and may stop it."""

    def __init__(
        self,
        seed: int,
        workdir: Path,
        given: FetchedInputs,
        watcher: Watcher | None,
        inference: Inference | None = None,
    ) -> None:
        super().__init__(seed, workdir, given, inference=inference or tiny_inference())
        self.told: list[tuple[float, str]] = []
        self.stopped_at: float | None = None
        self._watcher = watcher
        self._told_lock = threading.Lock()

    def progress(self, fraction: float, stage: str) -> None:
        super().progress(fraction, stage)
        with self._told_lock:
            self.told.append((fraction, stage))
        if self._watcher is not None:
            self._watcher(self)

    def cancel(self) -> None:
        if self.stopped_at is None:
            self.stopped_at = time.process_time()
            self.stop(StopReason.CANCELED)


def at_stage(stage: str) -> Watcher:
    """Cancels a moment after the stage has begun, from another thread as the service does."""

    def watch(context: Watched) -> None:
        if context.told[-1][1] == stage and not hasattr(context, "timer"):
            context.timer = threading.Timer(0.05, context.cancel)  # type: ignore[attr-defined]
            context.timer.start()  # type: ignore[attr-defined]

    return watch


@dataclass
class Run:
    """How a run went."""

    artifacts: list[Artifact] = field(default_factory=list)
    told: list[tuple[float, str]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    charged_share: float = 1.0
    seconds: float = 0.0
    # From the cancel to the end, in seconds of CPU: what runs beside it does not count.
    to_stop: float | None = None

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(stage for _, stage in self.told))

    @property
    def made(self) -> dict[str, str]:
        """The hash of each file, by name."""
        return {
            artifact.path.name: hashlib.sha256(artifact.path.read_bytes()).hexdigest()
            for artifact in self.artifacts
        }


_loaded: dict[str, Any] = {}
_loading = threading.Lock()


def loaded(spec: GeneratorSpec[Any]) -> Any:
    """The generator, as one replica has it."""
    with _loading:
        if spec.name not in _loaded:
            _loaded[spec.name] = new_generator(spec)
        return _loaded[spec.name]


def run(
    spec: GeneratorSpec[Any],
    given: dict[str, Any],
    folder: Path,
    watcher: Watcher | None = None,
    generator: Any = None,
    inference: Inference | None = None,
) -> Run:
    """Run ``given`` as the runner would. A run that its ``watcher`` cancelled has no artifacts.

    Without ``inference`` the models are those of the profile ``tiny``.
    """
    generator = generator or loaded(spec)
    request = spec.request.model_validate(json.loads(json.dumps(given)))
    workdir = folder / "work"
    workdir.mkdir(parents=True)
    seed = 7 if request.seed is None else request.seed
    context = Watched(seed, workdir, fetched(request, folder / "inputs"), watcher, inference)
    began = time.monotonic()
    artifacts: list[Artifact] = []
    try:
        artifacts = generator.generate(request, context)
    except Stopped:
        assert context.stopped_at is not None, "it cancelled itself"
    ended, used = time.monotonic(), time.process_time()
    return Run(
        artifacts=artifacts,
        told=context.told,
        notes=context.notes().values,
        charged_share=context.charged_share,
        seconds=ended - began,
        to_stop=None if context.stopped_at is None else used - context.stopped_at,
    )
