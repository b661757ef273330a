"""Programs of Postgres: pg_basebackup, pg_combinebackup, pg_verifybackup, pg_receivewal."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from atelier_admin.backup.source import PostgresAddress
from db.embedded.account import unprivileged_account
from db.embedded.postgres import postgres_binaries


class ProgramFailed(RuntimeError):
    """A program ended with an error; the message is the end of what it said."""


def program(name: str) -> str:
    """Return the path of a program; raises ServerFailed if the wheel is not installed."""
    return str(postgres_binaries(unprivileged_account()) / name)


def environment(address: PostgresAddress | None) -> dict[str, str]:
    """Its environment. The password is here, and so in no list of processes."""
    return {"PATH": os.defpath, "LC_ALL": "C"} | (
        {"PGPASSWORD": address.password, "PGCONNECT_TIMEOUT": "10"} if address else {}
    )


async def run_program(
    name: str, *arguments: str | Path, address: PostgresAddress | None = None
) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        ProgramFailed: it failed.
    """
    command = [program(name), *(address.arguments if address else []), *map(str, arguments)]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=environment(address),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )

    done = await asyncio.to_thread(run)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-1500:]
        raise ProgramFailed(f"{name} failed: {said}")
    return done.stdout
