"""The system account that runs Postgres, which refuses to run as root, and its folders."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db.embedded.process import ServerFailed

_NAME = "atelier"
_SPARE = Path("/var/tmp")  # survives a reboot, and every account can pass through it


@dataclass(frozen=True)
class Account:
    """A system account; ``name`` is None if we are not root and need no other account."""

    name: str | None

    def take_ownership(self, path: Path) -> None:
        if self.name is not None:
            entry = pwd.getpwnam(self.name)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def can_reach(self, path: Path) -> bool:
        """Return whether the account can reach ``path`` through all folders above it."""
        if self.name is None:
            return True
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def unprivileged_account() -> Account:
    """Return our own account; for root a system account that it creates, or ``nobody``."""
    if os.geteuid() != 0:
        return Account(None)
    for name in (_NAME, "nobody"):
        if _account_exists(name) or (name == _NAME and _create_account(name)):
            return Account(name)
    raise ServerFailed("Postgres cannot run as root and there is no other account to run it as")


def _account_exists(name: str) -> bool:
    try:
        return pwd.getpwnam(name).pw_uid != 0
    except KeyError:
        return False


def _create_account(name: str) -> bool:
    tool = shutil.which("useradd")
    if tool is None:
        return False
    command = [tool, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    return subprocess.run(command, capture_output=True).returncode == 0 and _account_exists(name)


def reachable_home(path: Path, account: Account, copy_of: Sequence[str] = ()) -> Path:
    """Return ``path``, or a replacement under /var/tmp if the account cannot reach ``path``.

    A clone below root's home (mode 0700) needs it: opening that folder to all users would be worse.
    ``copy_of`` names siblings of ``path`` that are copied there, for programs; without it the
    replacement starts empty, for data.
    """
    if account.can_reach(path / "any"):
        return path
    tag = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    home = _SPARE / f"atelier-{tag}"
    home.mkdir(mode=0o711, exist_ok=True)
    info = home.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise ServerFailed(f"{home} is not a folder that only root can write; remove it")
    home.chmod(0o711)  # whatever our umask took from it
    if not copy_of:
        return home
    for name in copy_of:
        if not (home / name).exists():
            fresh = home / f"{name}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(path.parent / name, fresh, symlinks=True)
            _let_everyone_read(fresh)
            fresh.rename(home / name)
        elif not (home / name).stat().st_mode & stat.S_IXOTH:  # copied by an earlier version
            _let_everyone_read(home / name)
    return home / path.name


def _let_everyone_read(folder: Path) -> None:
    """Add what a umask such as 077 took from the installed package: reading, and execution of what
    its owner can execute. The folder itself is last, so that a kill before it leaves a mark."""
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | 0o044 | (0o011 if mode & stat.S_IXUSR else 0))
