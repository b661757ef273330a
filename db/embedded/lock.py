"""One run per data folder."""

from __future__ import annotations

import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class DataInUse(RuntimeError):
    """Another run holds the data folder."""


class DataOfAnother(RuntimeError):
    """The data folder belongs to another user, as after one run with ``sudo``."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; the kernel lets go of it however the process ends.

    Raises:
        DataInUse: with the pid of the run that holds it.
        DataOfAnother: with the names of both users.
    """
    with _open(folder) as file:
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


def _open(folder: Path) -> TextIO:
    folder = folder.absolute()
    path = folder / "run.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except PermissionError:
        # Path.exists fails at what lies below a folder that we cannot pass; this says False.
        there = next(one for one in (path, *path.parents) if os.path.exists(one))  # noqa: PTH110
        us = _name(os.geteuid())
        # What is above the data folder is nobody's to give away.
        is_ours_to_be = there in (path, folder)
        advice = f"give it to {us} (sudo chown -R {us} {folder}) or " if is_ours_to_be else ""
        raise DataOfAnother(
            f"{there} belongs to {_name(there.stat().st_uid)}, and {us} runs this:"
            f" {advice}choose another data folder with --data"
        ) from None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # as in a container
        return str(uid)


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
