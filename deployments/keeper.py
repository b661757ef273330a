"""The keeper: one small replica, always on, that finishes what a crash or an outage left undone.

Each task has its own loop: one that fails or waits for a store that is down delays no other. All
of them may run in two keepers at once, as while one is being replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from ray import serve
from ray.serve.schema import LoggingConfig

from billing.settings import StripeSettings
from billing.stripe_gateway import StripeGateway
from db.queue import JobQueue
from db.settings import StoreSettings
from deployments.keeping.aging import promote
from deployments.keeping.credits import expire_credits
from deployments.keeping.expiry import expire
from deployments.keeping.house import Crashed, House
from deployments.keeping.lost import recover_lost
from deployments.keeping.parked import unpark
from deployments.keeping.pauses import apply_pauses
from deployments.keeping.payments import book_payments, catch_up_payments
from deployments.keeping.queues import reconcile, refill_if_wiped
from deployments.keeping.relay import relay
from deployments.keeping.sweep import sweep_leftovers, sweep_orphans, sweep_rows, sweep_temp
from deployments.keeping.webhooks import deliver_webhooks
from deployments.logs import configure_logs
from deployments.patience import STORE_DOWN
from deployments.replicas import crashed
from deployments.stores import Stores

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Task:
    """Something to look after: ``run`` returns how much there was to do.

    It rests ``every_s`` seconds between rounds; one longer than ``within_s`` is given up.
    """

    name: str
    run: Callable[[House], Awaitable[int]]
    every_s: float
    within_s: float = 60.0


TASKS = (
    Task("refill_if_wiped", refill_if_wiped, 1.0, within_s=600.0),
    Task("apply_pauses", apply_pauses, 2.0),
    Task("relay", relay, 1.0),
    Task("deliver_webhooks", deliver_webhooks, 1.0, within_s=120.0),
    Task("book_payments", book_payments, 1.0, within_s=300.0),
    Task("catch_up_payments", catch_up_payments, 300.0, within_s=300.0),
    Task("recover_lost", recover_lost, 1.0),
    Task("unpark", unpark, 2.0),
    Task("reconcile", reconcile, 15.0, within_s=300.0),
    Task("expire", expire, 30.0),
    Task("expire_credits", expire_credits, 60.0),
    Task("promote", promote, 30.0),
    Task("sweep_leftovers", sweep_leftovers, 300.0, within_s=300.0),
    Task("sweep_temp", sweep_temp, 3600.0, within_s=600.0),
    Task("sweep_orphans", sweep_orphans, 3600.0, within_s=600.0),
    Task("sweep_rows", sweep_rows, 3600.0),
)


class KeeperLoop:
    """Runs the tasks until it is closed."""

    def __init__(
        self,
        settings: StoreSettings,
        generators: Sequence[str],
        crashed: Crashed,
        tasks: Sequence[Task] = TASKS,
        stripe: StripeSettings | None = None,
    ) -> None:
        url = settings.redis_url.get_secret_value()
        queues = {name: JobQueue.open(url, name) for name in generators}
        gateway = StripeGateway(stripe) if stripe is not None and stripe.sells else None
        self.house = House(Stores.open(settings), queues, crashed, stripe=gateway)
        self._closing = False
        self._loops = [asyncio.create_task(self._keep(task), name=task.name) for task in tasks]

    def check(self) -> None:
        """Raises RuntimeError if a task will never run again."""
        dead = [loop.get_name() for loop in self._loops if loop.done()]
        if dead:
            raise RuntimeError(f"the keeper no longer does {', '.join(dead)}")

    async def close(self) -> None:
        self._closing = True  # told as well as cancelled: see deployments.lease
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for queue in self.house.queues.values():
            await queue.close()
        await self.house.stores.close()
        if self.house.stripe is not None:
            await self.house.stripe.close()

    async def _keep(self, task: Task) -> None:
        while not self._closing:
            try:
                async with asyncio.timeout(task.within_s):
                    await task.run(self.house)
            except (*STORE_DOWN, TimeoutError) as error:
                log.warning("keeper_task_waits", task=task.name, error=type(error).__name__)
            except Exception:
                log.exception("keeper_task_failed", task=task.name)
            await asyncio.sleep(task.every_s)


class Keeper:
    """``KeeperLoop`` as a Ray Serve replica."""

    async def __init__(self, generators: list[str]) -> None:  # type: ignore[misc]
        configure_logs()
        self._loop = KeeperLoop(StoreSettings(), generators, crashed, stripe=StripeSettings())

    async def __call__(self) -> list[str]:
        """The generators whose queues are kept."""
        return list(self._loop.house.queues)

    async def check_health(self) -> None:
        """Ray Serve replaces the replica when this raises."""
        self._loop.check()

    async def __del__(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is not None:
            await loop.close()


def keeper_deployment(generators: Sequence[str], *, num_cpus: float = 0.1) -> serve.Application:
    """The deployment of the keeper over the queues of ``generators`` (their names)."""
    deploy = serve.deployment(
        name="keeper",
        num_replicas=1,
        ray_actor_options={"num_cpus": num_cpus},
        max_ongoing_requests=8,
        graceful_shutdown_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=5.0,
        health_check_timeout_s=30.0,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deploy(Keeper).bind(list(generators))
