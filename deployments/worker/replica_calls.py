"""What the running jobs of a replica tell the stores, and ask them, in one call for all of them.

Each job has loops of its own (``deployments.worker.lease``), which look at the same moments; what
they ask for at the same moment goes together. Heartbeats, events and flags never wait for each
other, so that a Redis that is down delays no heartbeat.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any

from db.batching import Batched
from db.jobs import transitions
from db.jobs.transitions import Heartbeat
from db.redis.client import Flags, get_flags, publish_events, translate_redis_errors
from deployments.retry import STORE_DOWN
from deployments.stores import Stores

HEARTBEAT_TIMEOUT_S = 6.0
# Who begins so shortly before a moment, as a share of the interval, waits for the next one. A loop
# that a coarse clock woke too early would look twice.
TOO_SHORTLY = 0.1


class ReplicaCalls:
    """Shared by the jobs that one event loop runs with the same stores; made in that loop."""

    def __init__(self, stores: Stores) -> None:
        self._statements = stores.statements
        self._heartbeat: Batched[Heartbeat, bool | None] = Batched(
            partial(transitions.heartbeat_all, stores.statements),
            patience_s=HEARTBEAT_TIMEOUT_S,
        )
        self._publish: Batched[tuple[str, dict[str, Any]], Exception | None] = Batched(
            partial(publish_events, stores.redis)
        )
        self._get_flags: Batched[str, Flags] = Batched(partial(get_flags, stores.redis))
        self._now = asyncio.get_running_loop().time
        # Not the clock's own zero, at which all replicas of a machine would ask together.
        self._began = self._now()

    def next_moment(self, interval_s: float) -> float:
        """Return when those who look each ``interval_s`` seconds look next, by the loop's clock."""
        passed = math.floor((self._now() - self._began) / interval_s + TOO_SHORTLY)
        return self._began + (passed + 1) * interval_s

    async def wait(self, interval_s: float) -> None:
        """Sleep until the next moment."""
        await asyncio.sleep(self.next_moment(interval_s) - self._now())

    async def heartbeat(self, heartbeat: Heartbeat) -> bool | None:
        """Renew a lease; the answer is that of ``transitions.heartbeat``.

        Raises:
            TimeoutError, STORE_DOWN: Postgres did not answer.
            sqlalchemy.exc.SQLAlchemyError: Postgres refused what this heartbeat says.
        """
        try:
            canceled = await self._heartbeat(heartbeat)
        except (*STORE_DOWN, TimeoutError):
            raise
        except Exception:
            canceled = None  # it may be the fault of another job's
        if canceled is not None:
            return canceled
        # It may be lost, or somebody holds its row, as who cancels it does: the others don't wait.
        async with asyncio.timeout(HEARTBEAT_TIMEOUT_S), self._statements.begin() as session:
            return await transitions.heartbeat(
                session,
                heartbeat.job_id,
                heartbeat.attempt,
                heartbeat.progress,
                heartbeat.stage,
            )

    async def publish(self, job_id: str, event: dict[str, Any]) -> None:
        """Publish an event of a job.

        Raises:
            StoreUnavailable: Redis is down.
            TimeoutError: Redis does not answer.
        """
        error = await self._publish((job_id, event))
        if error is not None:
            with translate_redis_errors():
                raise error

    async def get_flags(self, job_id: str) -> Flags:
        """Return a job's flags; raises as ``publish`` does."""
        return await self._get_flags(job_id)
