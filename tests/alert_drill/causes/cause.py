"""What a cause is, and the tools that do damage: processes that stand still, repeated work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import httpx
import psutil
import psycopg

from tests.alert_drill.stage import Stage

WITHIN_S = 120.0


def nothing(stage: Stage) -> None:
    """For causes that need no preparation."""


def possible(stage: Stage) -> str | None:
    """For causes that are possible everywhere."""
    return None


@dataclass(frozen=True)
class Cause:
    """``damage`` does it, and repairs it when its block ends.

    ``alerts`` are the names of those whose expressions must turn true within ``within_s``
    seconds. ``prepare`` comes before their expressions are first looked at; ``obstacle`` says why
    the cause cannot be produced here, or None.
    """

    text: str
    alerts: tuple[str, ...]
    damage: Callable[[Stage], AbstractContextManager[None]]
    within_s: float = WITHIN_S
    prepare: Callable[[Stage], None] = nothing
    obstacle: Callable[[Stage], str | None] = possible


@contextmanager
def standing_still(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """All processes of these families stop, as on a machine that hangs, and go on afterwards."""
    families = [one for parent in processes for one in [parent, *parent.children(recursive=True)]]
    if not families:
        raise LookupError("there is no process to stop")
    try:
        _signal(families, signal.SIGSTOP)
        yield
    finally:
        _signal(families, signal.SIGCONT)


def _signal(processes: Iterable[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(what)


@contextmanager
def again_and_again(work: Callable[[], object], every_s: float, threads: int = 1) -> Iterator[None]:
    """Do ``work`` in threads until the block ends; that a store or the API fails is no news."""
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(every_s):
            with suppress(httpx.HTTPError, psycopg.Error, psutil.Error):
                work()

    started = [threading.Thread(target=loop, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in started:
            thread.join()
