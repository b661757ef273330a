"""Folders of work that nobody works on any more are removed; the others stay."""

import errno
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from models.scratch import ScratchFolder, remove_abandoned, scratch_folder, use_work_dir


def test_a_folder_goes_with_its_block_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), scratch_folder("job_1", tmp_path) as folder:
        (folder / "work").mkdir()
        assert "job_1" in folder.name
        raise OSError("full")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_not_removed(tmp_path: Path) -> None:
    folder = ScratchFolder("job_1", tmp_path)
    assert remove_abandoned(tmp_path) == []
    assert folder.path.is_dir()
    folder.remove()
    assert not folder.path.exists()


def test_what_is_not_a_scratch_folder_is_not_touched(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    beginning = f"atelier-scratch+{socket.gethostname()}+"
    (tmp_path / f"{beginning}link").symlink_to(elsewhere)
    (tmp_path / f"{beginning}file").touch()
    assert remove_abandoned(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_the_folders_of_another_machine_on_the_same_disk_are_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "atelier-scratch+gpu-1+job_1-x").mkdir()
    for name in ("gpu", "gpu-1+", "gpu-11"):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        assert remove_abandoned(tmp_path) == []
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-1")
    assert len(remove_abandoned(tmp_path)) == 1


def test_a_disk_without_locks_does_for_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with scratch_folder("job_1", tmp_path) as folder:
        assert folder.is_dir()
        assert remove_abandoned(tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", ["open", "flock"])
def test_a_folder_that_another_start_removes_before_its_lock_is_made_anew(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = {"open": os, "flock": fcntl}[before]
    call = getattr(module, before)
    removed: list[Path] = []

    def removed_before(*arguments: Any) -> Any:
        monkeypatch.undo()
        removed.extend(tmp_path.iterdir())
        removed[0].rmdir()
        return call(*arguments)

    monkeypatch.setattr(module, before, removed_before)
    folder = ScratchFolder("job_1", tmp_path)
    assert len(removed) == 1
    assert list(tmp_path.iterdir()) == [folder.path] != removed
    folder.remove()


def test_what_a_process_writes_for_a_while_lies_in_its_work_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, work = tmp_path / "system", tmp_path / "disk" / "work"
    system.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(system))
    left = system / f"atelier-scratch+{socket.gethostname()}+job_1-x"
    left.mkdir()
    assert use_work_dir(None) == [left]
    with scratch_folder("weights") as folder:
        assert folder.parent == system

    left.mkdir()
    assert use_work_dir(work) == [left], "from before the setting was made"
    with scratch_folder("weights") as folder:
        assert folder.parent == work
    with tempfile.NamedTemporaryFile() as spooled:
        assert Path(spooled.name).parent == work
    (work / left.name).mkdir()
    assert use_work_dir(work) == [work / left.name]
