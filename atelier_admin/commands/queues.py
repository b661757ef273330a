"""``atelier-admin queues``: how deep each generator's queue is; pause and resume it."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from atelier_admin.connections import OPERATOR, open_service
from atelier_admin.dashboard import Dashboard, DashboardUnavailable
from atelier_admin.errors import DONE, Refused
from atelier_admin.options import Subparsers, application_options
from atelier_admin.output import print_rows
from db.jobs import queue_states
from db.jobs.queue_states import RUNNING
from db.tables import Job
from serve_app.admin.queues import QueueAction, apply_action
from serve_app.generators.routes import queue_counts
from serve_app.resources import Clients


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("queues", help="queues: depth, age, pause, resume")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every queue", parents=[application_options()])
    listing.set_defaults(run=run, order=None, generators=[])
    for order, about in (
        ("pause", "let replicas take no more jobs; new ones are accepted and wait"),
        ("resume", "let replicas take jobs, and accept new ones, again"),
    ):
        parser = actions.add_parser(order, help=about, parents=[application_options()])
        parser.add_argument("generators", metavar="GENERATOR", nargs="+", help="or: all")
        parser.set_defaults(run=run, order=order)


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_service(arguments) as clients:
        await order_queues(clients, arguments.generators, arguments.order)
        rows = await queue_rows(clients, await asyncio.to_thread(_replicas, arguments))
    print_rows(arguments, rows, none="no generators")
    return DONE


async def order_queues(clients: Clients, generators: list[str], order: QueueAction | None) -> None:
    """Give the queues of the generators (``all``: of every one) an order; each is audited.

    Raises:
        Refused: a generator does not exist; no queue was changed.
    """
    names = list(clients.catalog) if generators == ["all"] else generators
    if unknown := [name for name in names if name not in clients.catalog]:
        raise Refused(f"no generator {', '.join(unknown)}; there are {', '.join(clients.catalog)}")
    if order is not None:
        for name in names:
            await apply_action(clients, OPERATOR, name, order)


async def queue_rows(clients: Clients, replicas: dict[str, int] | None) -> list[dict[str, Any]]:
    """Return a row for each queue; what Redis or the dashboard did not answer is None.

    ``deferred`` jobs are queued, and wait for the limit of their user rather than for a replica.
    """
    waiting = select(
        Job.generator,
        func.min(Job.created_at).filter(Job.deferred_at.is_(None)),
        func.count(Job.deferred_at),
    ).where(Job.status == "queued")
    async with clients.sessions() as session:
        states = await queue_states.get_all(session)
        found = (await session.execute(waiting.group_by(Job.generator))).all()
    oldest = {row[0]: row[1] for row in found if row[1] is not None}
    deferred = {row[0]: row[2] for row in found}
    now = datetime.now(UTC)
    counts = await asyncio.gather(*(queue_counts(clients.queues[name]) for name in clients.catalog))
    return [
        {
            "generator": name,
            "waiting": count and count.waiting,
            "deferred": deferred.get(name, 0),
            "active": count and count.active,
            "oldest_waits": now - oldest[name] if name in oldest else None,
            "replicas": None if replicas is None else replicas.get(name, 0),
            "paused": states.get(name, RUNNING).paused,
            "draining": states.get(name, RUNNING).draining,
        }
        for name, count in zip(clients.catalog, counts, strict=True)
    ]


def _replicas(arguments: argparse.Namespace) -> dict[str, int] | None:
    try:
        deployments = Dashboard.find(arguments.data).deployments()
    except DashboardUnavailable:
        return None
    return {one.name: one.running for one in deployments}
