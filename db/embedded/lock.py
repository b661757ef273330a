"""One run per data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class DataInUse(RuntimeError):
    """Another run holds the data folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; the kernel lets go of it however the process ends.

    Raises:
        DataInUse: with the pid of the run that holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "run.lock").open("a+") as file:
        if not _try_lock(file):
            raise DataInUse(
                f"{folder} is in use by the run with pid {_read_holder(file)};"
                " stop that one or choose another folder with --data"
            )
        os.set_inheritable(file.fileno(), False)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def holder(folder: Path) -> str | None:
    """The pid of the run that holds ``folder``; None if nobody does."""
    try:
        with (folder / "run.lock").open() as file:
            return None if _try_lock(file, fcntl.LOCK_SH) else _read_holder(file)
    except OSError:
        return None


def _try_lock(file: TextIO, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "?"
