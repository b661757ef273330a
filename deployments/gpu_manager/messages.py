"""What a generator's replica and a GPU manager say to each other."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from models.inference.inference import Event, ModelLoad


class DeviceLost(Exception):
    """The manager ended while it ran an operation; ``manager`` is the name of its replica.

    The operation may be the cause, so the job's attempt counts as lost.
    """

    def __init__(self, manager: str) -> None:
        super().__init__(f"the GPU manager {manager} ended during an operation")
        self.manager = manager


@dataclass(frozen=True)
class Started:
    """The operation is at work; ``manager`` is the name of the replica that runs it."""

    manager: str


@dataclass(frozen=True)
class Report:
    """The progress since the last message; empty if there is none to tell."""

    events: tuple[Event | ModelLoad, ...] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """The operation is done. ``memory_plans`` are those of the loaded models, by key."""

    value: Any
    events: tuple[Event | ModelLoad, ...] = ()
    memory_plans: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Failure:
    """The operation ended with ``error``."""

    error: Exception


@dataclass(frozen=True)
class Moved:
    """The operation is to be asked for again, of any manager.

    The node of this one goes away, or a suspect found no moment to run alone.
    """


Message: TypeAlias = Started | Report | Result | Failure | Moved


def portable_error(error: BaseException) -> Exception:
    """Return ``error`` if another process can read it, or else a ``RuntimeError`` with its text."""
    if isinstance(error, Exception):
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    return RuntimeError(f"{type(error).__name__}: {_text_of(error)}")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "it has no text"
