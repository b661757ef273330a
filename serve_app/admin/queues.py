"""Pause, drain or resume a queue: the row changes first, the maintenance loop then sets Redis."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

import structlog

from db.errors import StoreUnavailable
from db.jobs import queue_states
from db.jobs.queue_states import RUNNING, QueueStatus
from db.operations import audit_log
from serve_app.auth.identity import Identity
from serve_app.http.errors import NotFound
from serve_app.resources import Clients

log = structlog.get_logger()

TIMEOUT_S = 2.0

QueueAction = Literal["pause", "resume", "drain"]


async def apply_action(
    clients: Clients, staff: Identity, generator: str, what: QueueAction
) -> QueueStatus:
    """Pause, drain or resume a generator's queue; doing so again changes nothing.

    Raises:
        NotFound: no such generator.
    """
    queue = clients.queues.get(generator)
    if queue is None:
        raise NotFound
    async with clients.sessions.begin() as session:
        before = await queue_states.get(session, generator)
        state = _next_state(before, what)
        if state != before:
            await queue_states.save(session, generator, state)
            await audit_log.write(
                session, actor=staff.user_id, action=f"queue.{what}", subject=generator
            )
    log.warning("queue_ordered", generator=generator, order=what)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await queue.set_paused(state.paused)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("queue_order_left_to_keeper", error=type(error).__name__)
    return state


def _next_state(before: QueueStatus, what: QueueAction) -> QueueStatus:
    if what == "pause":
        return replace(before, paused=True)
    if what == "drain":
        return replace(before, draining=True)
    return RUNNING
