"""A real streaming replica of the tests' Postgres."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from db.embedded.account import unprivileged_account
from db.embedded.postgres import _SETTINGS, postgres_binaries
from db.embedded.process import Command, ServerProcess, identity
from db.embedded.state import free_port


class Replica:
    """Follows the server of ``database_url``; itself at ``url``, with the same accounts."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._primary = make_url(database_url).set(drivername="postgresql")
        self._port = free_port()
        self.url = make_url(database_url).set(port=self._port).render_as_string(False)
        self._plain = self._primary.set(port=self._port).render_as_string(False)
        self._account = unprivileged_account()
        self._binaries = postgres_binaries(self._account)
        self._data = folder / "data"
        self.process = ServerProcess("replica", folder)

    def copy(self) -> None:
        """Of the primary as it is now, and set to follow it."""
        self._data.mkdir(mode=0o700)
        self._account.take_ownership(self._data)
        source = self._primary.set(database=None).render_as_string(False)
        command = [str(self._binaries / "pg_basebackup"), "-D", str(self._data), "-d", source]
        subprocess.run(
            [*command, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"],
            cwd=self._data,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            **identity(self._account.name),
            check=True,
            timeout=60,
        )

    def start(self) -> None:
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = _SETTINGS | {"port": str(self._port)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        arguments = [str(self._binaries / "postgres"), "-D", str(self._data), *options]
        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        self.process.start(Command(arguments, self._data, environment, user=self._account.name))
        self.process.wait_until(self._answers, 30)

    def _answers(self) -> bool:
        try:
            return self.ask("SELECT pg_is_in_recovery()") is True
        except psycopg.OperationalError:
            return False

    def ask(self, statement: LiteralString) -> Any:
        with psycopg.connect(self._plain, connect_timeout=2, autocommit=True) as connection:
            cursor = connection.execute(statement)
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def cut_off(self) -> None:
        """From the primary; it goes on answering."""
        self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask("SELECT pg_reload_conf()")

    def join_again(self) -> None:
        source = self._primary.set(database=None).render_as_string(False)
        with psycopg.connect(self._plain, autocommit=True) as connection:
            setting = sql.SQL("ALTER SYSTEM SET primary_conninfo = {}")
            connection.execute(setting.format(sql.Literal(source)))
        self.ask("SELECT pg_reload_conf()")

    def kill(self) -> None:
        """All of its processes at once."""
        for process in self._processes():
            process.kill()
        while self.process.alive():
            pass

    def freeze(self) -> None:
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def stop(self) -> None:
        self.process.stop(signal.SIGQUIT)


@contextmanager
def replica_of(database_url: str) -> Iterator[Replica]:
    """Started, and gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"atl-replica-{os.getpid()}-", dir="/tmp"))
    folder.chmod(0o711)
    made = Replica(folder, database_url)
    try:
        made.copy()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
