"""A process that is killed after the commit of a submit, before it could push."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal

from db.session import make_sessions, open_engine
from tests.support.jobs import submit
from tests.support.scribe import SPEC


def submit_and_be_killed(database_url: str, user_id: str) -> None:
    """Submit a job in another process, which ends by SIGKILL right after its commit."""
    process = multiprocessing.get_context("spawn").Process(
        target=_submit, args=(database_url, user_id)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def _submit(database_url: str, user_id: str) -> None:
    async def run() -> None:
        sessions = make_sessions(open_engine(database_url))
        await submit(sessions, SPEC, user_id, text="its sender was killed")
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(run())
