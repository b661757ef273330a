"""Requests that are answered when their job has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends

from serve_app.auth.identity import Identity, JobsReadDep, JobsWriteDep
from serve_app.http.dependencies import ClientsDep


async def _who_waits(identity: JobsWriteDep, clients: ClientsDep) -> AsyncIterator[Identity]:
    with clients.open_streams.admit(identity.user_id, identity.plan):
        yield identity


async def _who_reads(identity: JobsReadDep, clients: ClientsDep) -> AsyncIterator[Identity]:
    with clients.open_streams.admit(identity.user_id, identity.plan):
        yield identity


# Who asks, counted as a stream until the answer has ended: who submits, and who only reads.
WaitingDep = Annotated[Identity, Depends(_who_waits)]
WaitingReaderDep = Annotated[Identity, Depends(_who_reads)]
