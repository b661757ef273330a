"""Folders for what is in work, which do not outlive the process that made them.

A process that is killed removes nothing. What it leaves are customers' pictures and gigabytes of
weights, so the next process that starts on the machine removes them. An open folder is locked
(``flock``), and the kernel lets go of the lock when its process ends, however that ends.

A lock is known on its own machine alone, so the name of a folder begins with the machine's, and
nobody touches those of another one. Not covered: a process that runs on and forgot a folder; what a
machine left on a network's disk that never starts anything again.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def _prefix() -> str:
    return f"atelier-scratch+{socket.gethostname()}+"  # no name of a machine has a "+"


class ScratchFolder:
    """An empty folder that is locked until ``remove``, or until this process ends.

    ``parent`` is an existing folder; None is the system's for temporary files. ``label`` becomes a
    part of the folder's name, for who looks at it.
    """

    def __init__(self, label: str, parent: Path | None = None) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{label}-", dir=parent))
            # Another process that starts now may remove it before it is locked.
            with suppress(FileNotFoundError):
                self._lock = os.open(self.path, os.O_RDONLY)
                with suppress(OSError):  # a disk without locks: nobody removes it, then
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
                if self.path.exists():
                    return
                os.close(self._lock)

    def remove(self) -> None:
        """Remove the folder with all that is in it. What cannot be removed stays."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@contextmanager
def scratch_folder(label: str, parent: Path | None = None) -> Iterator[Path]:
    """A ``ScratchFolder`` that goes with the block."""
    folder = ScratchFolder(label, parent)
    try:
        yield folder.path
    finally:
        folder.remove()


def use_work_dir(work_dir: Path | None) -> list[Path]:
    """Have this process keep its temporary files in ``work_dir``, and remove abandoned folders from
    there and from the system's for temporary files; returns those. None is the system's.

    It is the default of ``tempfile`` that changes: what a framework spools, such as the files of
    forms, knows no setting of ours.

    Raises:
        OSError: the folder cannot be made or written to; its message names it.
    """
    removed = remove_abandoned()
    if work_dir is not None:
        work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass  # that it cannot be written to is said now, and not of each upload
        tempfile.tempdir = str(work_dir)
        removed += remove_abandoned()
    return removed


def remove_abandoned(parent: Path | None = None) -> list[Path]:
    """Remove this machine's scratch folders in ``parent`` whose process has ended; returns them."""
    removed = []
    for path in Path(parent or tempfile.gettempdir()).glob(f"{glob.escape(_prefix())}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # removed meanwhile, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                removed.append(path)
        finally:
            os.close(lock)
    return removed
