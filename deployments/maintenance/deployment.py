"""The maintenance replica: one small process that finishes work a crash or an outage left undone.

Each task has its own loop, so that a task that fails or waits for a store delays no other. Every
task may run in two replicas at once, as happens while one is being replaced. The deployment's name
in Ray Serve is "keeper".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from ray import serve
from ray.serve.schema import LoggingConfig

from billing import credit_counts, job_counts
from billing.settings import StripeSettings
from billing.stripe.gateway import StripeGateway
from db.redis.queue import JobQueue
from db.settings import StoreSettings
from deployments.autoscaling.node_requests import request_gpus
from deployments.log_config import configure_logging
from deployments.maintenance import delivery_counts
from deployments.maintenance.book_payments import book_payments, catch_up_payments
from deployments.maintenance.cancel_jobs import cancel_jobs
from deployments.maintenance.check_ledger import check_ledger, compare_with_stripe
from deployments.maintenance.clean_accounts import sweep_accounts
from deployments.maintenance.clean_storage import (
    sweep_leftovers,
    sweep_orphans,
    sweep_rows,
    sweep_temp,
)
from deployments.maintenance.context import CrashCheck, MaintenanceContext
from deployments.maintenance.create_bucket import create_bucket
from deployments.maintenance.deliver_mails import deliver_mails
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.maintenance.erase_accounts import erase_accounts
from deployments.maintenance.expire_credits import expire_credits
from deployments.maintenance.expire_jobs import expire_jobs
from deployments.maintenance.measure import measure, probe_stores
from deployments.maintenance.reconcile_queues import reconcile_queues, refill_if_wiped
from deployments.maintenance.recover_lost_jobs import recover_lost_jobs
from deployments.maintenance.relay_outbox import relay_outbox
from deployments.maintenance.resume_deferred_jobs import resume_deferred_jobs
from deployments.maintenance.sync_queue_states import sync_queue_states
from deployments.messaging.mail import Mailer
from deployments.ray_replica import crashed
from deployments.retry import STORE_DOWN
from deployments.settings import MailSettings
from deployments.stores import Stores
from deployments.tracing import configure_tracing
from metrics import catalog
from metrics.labels import LABELS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class MaintenanceTask:
    """A task that runs again and again; ``run`` returns how many items it handled.

    It sleeps ``interval_s`` seconds between rounds; a round longer than ``timeout_s`` is cancelled.
    One that ``looks_into_bucket`` begins after the loop tried to create the bucket.
    """

    name: str
    run: Callable[[MaintenanceContext], Awaitable[int]]
    interval_s: float
    timeout_s: float = 60.0
    looks_into_bucket: bool = False


TASKS = (
    MaintenanceTask("refill_if_wiped", refill_if_wiped, 1.0, timeout_s=600.0),
    MaintenanceTask("apply_pauses", sync_queue_states, 2.0),
    MaintenanceTask("relay", relay_outbox, 1.0),
    MaintenanceTask("deliver_webhooks", deliver_webhooks, 1.0, timeout_s=120.0),
    MaintenanceTask("deliver_mails", deliver_mails, 1.0, timeout_s=120.0),
    MaintenanceTask("book_payments", book_payments, 1.0, timeout_s=300.0),
    MaintenanceTask("catch_up_payments", catch_up_payments, 300.0, timeout_s=300.0),
    MaintenanceTask("cancel_jobs", cancel_jobs, 1.0, timeout_s=300.0),
    MaintenanceTask("erase_accounts", erase_accounts, 60.0, timeout_s=600.0),
    MaintenanceTask("recover_lost", recover_lost_jobs, 1.0),
    MaintenanceTask("unpark", resume_deferred_jobs, 2.0),
    MaintenanceTask("reconcile", reconcile_queues, 15.0, timeout_s=300.0),
    MaintenanceTask("expire", expire_jobs, 30.0),
    MaintenanceTask("expire_credits", expire_credits, 60.0),
    MaintenanceTask("sweep_leftovers", sweep_leftovers, 300.0, 300.0, looks_into_bucket=True),
    MaintenanceTask("sweep_temp", sweep_temp, 3600.0, 600.0, looks_into_bucket=True),
    MaintenanceTask("sweep_orphans", sweep_orphans, 3600.0, 600.0, looks_into_bucket=True),
    MaintenanceTask("sweep_rows", sweep_rows, 3600.0),
    MaintenanceTask("sweep_accounts", sweep_accounts, 3600.0),
    MaintenanceTask("probe_stores", probe_stores, 10.0, looks_into_bucket=True),
    MaintenanceTask("measure", measure, 10.0),
    MaintenanceTask("check_ledger", check_ledger, 900.0, timeout_s=600.0),
    MaintenanceTask("compare_with_stripe", compare_with_stripe, 3600.0, timeout_s=600.0),
)


class MaintenanceLoop:
    """Runs the tasks until it is closed."""

    def __init__(
        self,
        settings: StoreSettings,
        generators: Sequence[str],
        crashed: CrashCheck,
        tasks: Sequence[MaintenanceTask] = TASKS,
        stripe: StripeSettings | None = None,
        mail: MailSettings | None = None,
    ) -> None:
        url = settings.redis_url.get_secret_value()
        queues = {name: JobQueue.open(url, name) for name in generators}
        gateway = StripeGateway(stripe) if stripe is not None and stripe.billing_enabled else None
        self.context = MaintenanceContext(
            Stores.open(settings),
            queues,
            crashed,
            stripe=gateway,
            mailer=Mailer(mail) if mail is not None and mail.enabled else None,
            mail_link_url=mail.mail_link_url if mail is not None else None,
        )
        self._closing = False
        job_counts.start_counts(generators)
        credit_counts.start_counts()
        delivery_counts.start_counts()
        for task in tasks:
            for outcome in LABELS["round"].values:
                catalog.TASK_ROUNDS.start(task=task.name, round=outcome)
        # The ingress does it, too, but may come later.
        self._bucket = asyncio.create_task(create_bucket(self.context.stores.objects))
        self._loops = [asyncio.create_task(self._run_task(task), name=task.name) for task in tasks]

    def check(self) -> None:
        """Check that every task still runs.

        Raises:
            RuntimeError: the loop of a task has ended.
        """
        dead = [loop.get_name() for loop in self._loops if loop.done()]
        if dead:
            raise RuntimeError(f"the maintenance loop no longer runs {', '.join(dead)}")

    async def close(self) -> None:
        self._closing = True  # a flag beside the cancellation: see deployments.worker.lease
        tasks = (self._bucket, *self._loops)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for queue in self.context.queues.values():
            await queue.close()
        await self.context.stores.close()
        if self.context.stripe is not None:
            await self.context.stripe.close()

    async def _run_task(self, task: MaintenanceTask) -> None:
        if task.looks_into_bucket:
            await asyncio.wait([self._bucket])
        while not self._closing:
            try:
                async with asyncio.timeout(task.timeout_s):
                    await task.run(self.context)
                outcome = "done"
            except (*STORE_DOWN, TimeoutError) as error:
                log.warning("keeper_task_waits", task=task.name, error=type(error).__name__)
                outcome = "waited"
            except Exception:
                log.exception("keeper_task_failed", task=task.name)
                outcome = "failed"
            catalog.TASK_ROUNDS.inc(task=task.name, round=outcome)
            await asyncio.sleep(task.interval_s)


class Maintenance:
    """``MaintenanceLoop`` as a Ray Serve replica."""

    async def __init__(self, generators: list[str]) -> None:  # type: ignore[misc]
        configure_logging()
        configure_tracing("keeper")
        self._loop = MaintenanceLoop(
            StoreSettings(), generators, crashed, stripe=StripeSettings(), mail=MailSettings()
        )

    async def __call__(self) -> list[str]:
        """The generators whose queues are maintained."""
        return list(self._loop.context.queues)

    async def check_health(self) -> None:
        """Ray Serve replaces the replica when this raises."""
        self._loop.check()

    async def __del__(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is not None:
            await loop.close()
            # After a shutdown nobody else would, and nodes would be kept that do nothing. While the
            # application runs, the policy asks for them again.
            with suppress(Exception):
                await asyncio.to_thread(request_gpus, 0)


def maintenance_deployment(
    generators: Sequence[str],
    *,
    num_cpus: float = 0.1,
    resources: Mapping[str, float] | None = None,
) -> serve.Application:
    """Build the maintenance deployment for the queues of ``generators`` (their names).

    ``resources`` are those of Ray that it claims beside CPUs, which choose its node.
    """
    deploy = serve.deployment(
        name="keeper",
        num_replicas=1,
        ray_actor_options={"num_cpus": num_cpus, "resources": dict(resources or {})},
        max_ongoing_requests=8,
        graceful_shutdown_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=5.0,
        health_check_timeout_s=30.0,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deploy(Maintenance).bind(list(generators))
