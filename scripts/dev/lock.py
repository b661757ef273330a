"""One run per data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "?"
            raise DataInUse(
                f"{folder} is in use by the run with pid {holder};"
                " stop that one or choose another folder with --data"
            ) from None
        os.set_inheritable(file.fileno(), False)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
