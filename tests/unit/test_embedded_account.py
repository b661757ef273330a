"""The account of the embedded Postgres: what it can read, and which groups it is in."""

import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.embedded import account
from db.embedded.account import Account, reachable_home
from db.embedded.process import Command, ServerProcess, identity


@pytest.fixture(autouse=True)
def closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package below a folder that others cannot pass; replacements lie beside it."""
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(account, "_SPARE", spare)
    package = tmp_path / "closed" / "package"
    (package / "bin").mkdir(parents=True)
    (package / "notes").write_text("text")
    (package / "bin" / "postgres").touch(mode=0o700)
    (package / "bin" / "link").symlink_to("postgres")
    return package


def modes(folder: Path) -> dict[str, int]:
    there = [folder, *folder.rglob("*")]
    found = [path for path in there if not path.is_symlink()]
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in found}


READABLE = {"package": 0o755, "bin": 0o755, "notes": 0o644, "postgres": 0o755}


def test_a_umask_keeps_the_account_neither_from_folders_nor_from_programs(package: Path) -> None:
    copy = reachable_home(package, Account("nobody"), copy_of=["package"])
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o711
    assert modes(copy) == READABLE
    assert modes(package)["notes"] == 0o600, "the package itself stays as it is"


def test_a_copy_that_was_closed_is_opened(package: Path) -> None:
    copy = reachable_home(package, Account("nobody"), copy_of=["package"])
    for path in (copy / "bin" / "postgres", copy / "bin", copy / "notes", copy, copy.parent):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)
    assert reachable_home(package, Account("nobody"), copy_of=["package"]) == copy
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o711
    assert modes(copy) == READABLE


class Started(Exception):
    """In place of a process."""


def test_a_server_of_another_account_is_in_its_group_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: Any, **options: Any) -> None:
        raise Started(options.get("user"), options.get("group"), options.get("extra_groups"))

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(Started) as started:
        ServerProcess("one", tmp_path).start(Command(["one"], tmp_path, {}, user="nobody"))
    assert started.value.args == ("nobody", pwd.getpwnam("nobody").pw_gid, [])
    assert identity(None) == {}, "our own account keeps its groups"
