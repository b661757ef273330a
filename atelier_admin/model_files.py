"""List, fetch and check the weights of a profile's models. Importing this imports torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rich.progress
from rich import box
from rich.console import Console
from rich.table import Table

from atelier_admin.errors import DONE, WRONG
from models.profiles.catalog import catalog
from models.profiles.load import Model, Profile
from models.weights.fetch import FetchPlan, carry_out, plan_fetch
from models.weights.hub import ProgressCallback, RequiredModel, required_models
from models.weights.verify import FileProblem, delete_files, verify_files

_FLAG = "ALLOW_NONCOMMERCIAL_WEIGHTS=1"


def _size(size: int) -> str:
    return f"{size / 2**30:.2f} GB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MB"


def _is_loaded_with(model: Model) -> bool:
    """Whether it becomes part of the model that it adapts."""
    return bool(model.replaces or model.fused_into)


def _used(profile: Profile, need: RequiredModel) -> list[str]:
    """The capabilities that need it: as their model, beneath an adapter, or as a part of either."""
    model = need.model
    key = model.adapter_of if _is_loaded_with(model) else need.key
    return [
        name.value
        for name, use in profile.capabilities.items()
        if key in (use.model, profile.models[use.model].adapter_of, *use.parts.values())
    ]


def _facts(profile: Profile, need: RequiredModel) -> dict[str, object]:
    model = need.model
    return {
        "model": need.key,
        "capabilities": _used(profile, need),
        "hub_id": model.hub_id,
        "revision": model.revision,
        "path": str(model.path) if model.path else None,
        "licence": model.licence,
        "commercial": model.commercial,
        "loader": model.loader,
        "dtype": model.dtype,
        "memory_mb": model.memory.weights_mb,
        "bytes": need.bytes,
        "present": need.present,
    }


class Models:
    """One run of the command: its profile, output streams and format."""

    def __init__(self, profile: Profile, as_json: bool, cache: Path | None, endpoint: str | None):
        self.profile = profile
        self.as_json = as_json
        self.cache = cache
        self.endpoint = endpoint
        self.out = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.bars = Console(file=sys.stderr, highlight=False)

    def list_models(self) -> int:
        requirements = required_models(self.profile, cache=self.cache)
        if self.as_json:
            facts = [_facts(self.profile, need) for need in requirements]
            worth = {name.value: use.model for name, use in self.profile.restricted.items()}
            self._json({"models": facts, "restricted": worth})
            return DONE
        self.out.print(f"[bold]{self.profile.name}[/]: {self.profile.title}")
        table = Table(box=box.SIMPLE, pad_edge=False)
        for title in ("model", "memory", "download"):
            table.add_column(title, no_wrap=True)
        for title in ("on disk", "licence", "does"):
            table.add_column(title, overflow="fold")
        for need in requirements:
            model = need.model
            table.add_row(
                need.key,
                _size(model.memory.weights_mb * 2**20) if model.memory.weights_mb else "-",
                _size(need.bytes) if need.bytes and model.hub_id else "-",
                "[green]yes[/]" if need.present else "[yellow]no[/]",
                model.licence if model.commercial else f"[red]{model.licence}[/]",
                ", ".join(_used(self.profile, need)) or "-",
            )
        Console(file=sys.stdout, highlight=False).print(table)
        missing = sum(need.bytes for need in requirements if not need.present)
        whole = sum(need.bytes for need in requirements if need.model.hub_id)
        if whole:
            self.out.print(f"all of it is a download of {_size(whole)}")
        for need in requirements:
            if not need.model.commercial:
                says = "forbids commercial use: see docs/models.md"
                self._line("[red]licence[/]", need.key, says)
        for capability, config in self.profile.restricted.items():
            licence = catalog()[config.model]["licence"]
            says = (
                f"{config.model}, {config.worth}, but not for commercial use ({licence}): {_FLAG}"
            )
            self._line("[yellow]worth it[/]", capability.value, says)
        if missing:
            self.out.print(f"about {_size(missing)} are missing: atelier-admin models fetch")
        return DONE

    def fetch(self, names: Sequence[str]) -> int:
        plan = plan_fetch(self._named(names), cache=self.cache, endpoint=self.endpoint)
        if not self.as_json:
            self._announce(plan)
        with self._bars(plan.bytes) as advance:
            reasons = carry_out(plan, advance, cache=self.cache, endpoint=self.endpoint)
        failed = {key: str(reason) for key, reason in reasons.items()}
        done = [need.key for need in plan.wanted if need.key not in failed]
        if self.as_json:
            self._json({"fetched": done, "failed": failed})
        else:
            for key, says in failed.items():
                self._line("[bold red]failed[/]", key, says)
            for key in done:
                self._line("[green]there[/] ", key, "")
        return WRONG if failed else DONE

    def _announce(self, plan: FetchPlan) -> None:
        """Say what will be fetched before it is, so that one can still stop it."""
        wanted = [need for need in plan.wanted if plan.missing.get(need.key)]
        if not wanted:
            return
        count = f"{len(wanted)} model{'s' if len(wanted) > 1 else ''}"
        self.out.print(f"[bold]{self.profile.name}[/]: {count} to fetch, {_size(plan.bytes)}")
        for need in wanted:
            size = f"{_size(plan.missing[need.key]):>9}"
            self._line("      ", need.key, f"{size}  {need.model.licence}")
        self.out.print("Ctrl-C stops; the next call goes on with what is missing.")

    def verify(self, names: Sequence[str], delete_faulty: bool) -> int:
        faults: dict[str, list[FileProblem]] = {}
        for need in self._named(names):
            with self._bar(need.key, "reading") as progress:
                faults[need.key] = verify_files(need.model, progress, cache=self.cache)
            if delete_faulty and need.model.hub_id:
                delete_files(faults[need.key])
        if self.as_json:
            listed = {
                key: [{"file": fault.file, "says": fault.reason} for fault in problems]
                for key, problems in faults.items()
            }
            self._json({"faults": listed})
        else:
            for key, problems in faults.items():
                if not problems:
                    self._line("[green]ok[/]   ", key, "")
                for fault in problems:
                    self._line("[bold red]wrong[/]", key, f"{fault.file} {fault.reason}".strip())
        return WRONG if any(faults.values()) else DONE

    def _named(self, names: Sequence[str]) -> list[RequiredModel]:
        requirements = required_models(self.profile, cache=self.cache)
        if not names:
            return requirements
        # A model is of no use without what replaces its components or is fused into them.
        return [
            need
            for need in requirements
            if need.key in names or (_is_loaded_with(need.model) and need.model.adapter_of in names)
        ]

    def _line(self, mark: str, key: str, says: str) -> None:
        self.out.print(mark, end=" ")
        self.out.print(f"{key:26} {says}".rstrip(), markup=False)

    def _json(self, answer: dict[str, object]) -> None:
        print(json.dumps({"profile": self.profile.name, **answer}, indent=1))

    @contextmanager
    def _bar(self, key: str, doing: str) -> Iterator[ProgressCallback | None]:
        if self.as_json:
            yield None
            return
        with self._progress() as bar:
            task = bar.add_task(f"{doing} {key}", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextmanager
    def _bars(self, total: int) -> Iterator[Callable[[str], ProgressCallback | None]]:
        """A bar of ``total`` bytes over all models, with the time left, and one of each in turn."""
        if self.as_json or not total:
            yield lambda _: None
            return
        with self._progress() as bar:
            everything = bar.add_task("everything", total=total)
            single = bar.add_task("", total=None)

            def advance(key: str) -> ProgressCallback:
                bar.reset(single, description=f"fetching {key}", total=None)
                counted: int | None = None

                def progress(done: int, size: int) -> None:
                    nonlocal counted
                    # The first call says what was there before.
                    bar.update(everything, advance=done - (done if counted is None else counted))
                    bar.update(single, completed=done, total=size)
                    counted = done

                return progress

            yield advance

    def _progress(self) -> rich.progress.Progress:
        return rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.DownloadColumn(),
            rich.progress.TransferSpeedColumn(),
            rich.progress.TimeRemainingColumn(),
            console=self.bars,
            transient=True,
        )
