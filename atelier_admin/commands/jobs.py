"""``atelier-admin jobs``: everybody's jobs, what became of one, cancel, retry."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from atelier_admin.connections import OPERATOR, find_user, open_service, open_sessions
from atelier_admin.dashboard import Dashboard
from atelier_admin.errors import DONE, Refused
from atelier_admin.options import (
    Subparsers,
    add_limit,
    application_options,
    common_options,
    moment,
)
from atelier_admin.output import Credits, print_done, print_json, print_record, print_rows, table
from db.accounts import users
from db.ids import new_id
from db.jobs import queries
from db.jobs.queries import JobFilter
from db.session import Sessions
from db.tables import JOB_STATUSES, DeadLetter, Job, Outbox, Transaction
from serve_app.admin import jobs as staff_jobs

Records = list[dict[str, Any]]


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("jobs", help="jobs of all users")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the newest jobs", parents=[common_options()])
    listing.add_argument("--user", metavar="USER", help="whose: an id or an e-mail address")
    listing.add_argument("--status", choices=JOB_STATUSES)
    listing.add_argument("--generator")
    listing.add_argument("--batch", metavar="BATCH", help="those of a batch (bat_...)")
    listing.add_argument("--request", metavar="ID", help="the X-Request-ID that submitted them")
    listing.add_argument("--since", type=moment, metavar="WHEN", help="as 2h or 2027-01-31T12:00")
    listing.add_argument("--until", type=moment, metavar="WHEN")
    add_limit(listing)
    listing.set_defaults(run=_with_sessions, action=_list)

    show = actions.add_parser("show", help="all that became of a job", parents=[common_options()])
    show.add_argument("job", metavar="JOB")
    show.set_defaults(run=_with_sessions, action=_show)

    cancel = actions.add_parser("cancel", help="cancel jobs", parents=[application_options()])
    cancel.add_argument("jobs", metavar="JOB", nargs="+")
    cancel.set_defaults(run=lambda arguments: asyncio.run(_cancel(arguments)))

    retry = actions.add_parser(
        "retry",
        help="make a job again, as a new one that its owner pays for",
        parents=[application_options()],
    )
    retry.add_argument("job", metavar="JOB")
    retry.set_defaults(run=lambda arguments: asyncio.run(_retry(arguments)))


def _with_sessions(arguments: argparse.Namespace) -> int:
    async def run() -> int:
        async with open_sessions(arguments) as sessions:
            return int(await arguments.action(arguments, sessions))

    return asyncio.run(run())


async def _list(arguments: argparse.Namespace, sessions: Sessions) -> int:
    user_id = (await find_user(sessions, arguments.user)).id if arguments.user else None
    which = JobFilter(
        arguments.status,
        arguments.generator,
        arguments.since,
        arguments.until,
        batch_id=arguments.batch,
        user_id=user_id,
        request_id=arguments.request,
    )
    async with sessions() as session:
        found = await queries.page_of_all(session, which, None, arguments.limit)
    rows = [
        {
            "id": job.id,
            "user_id": job.user_id,
            "generator": job.generator,
            "status": job.status,
            "stage": job.stage,
            "attempt": job.attempt,
            "quoted": Credits(job.credits_quoted),
            "charged": Credits(job.credits_charged) if job.finished_at else None,
            "ran": _ran(job),
            "created": job.created_at,
        }
        for job in found
    ]
    print_rows(arguments, rows, none="no jobs")
    return DONE


async def _show(arguments: argparse.Namespace, sessions: Sessions) -> int:
    async with sessions() as session:
        job = await _get(session, arguments.job)
        movements = await _movements(session, job)
        messages = await _messages(session, job)
        letter = await session.scalar(select(DeadLetter).where(DeadLetter.job_id == job.id))
    log = await asyncio.to_thread(_log_link, arguments, job.replica)
    record = {
        "id": job.id,
        "user_id": job.user_id,
        "generator": job.generator,
        "status": job.status,
        "stage": job.stage,
        "progress": f"{job.progress:.0%}",
        "priority": job.priority,
        "attempts": job.attempt,
        "losses": job.losses,
        "crashes": job.crashes,
        "replica": job.replica,
        "log": log,
        "error": job.error,
        "quoted": Credits(job.credits_quoted),
        "held": Credits(job.credits_held),
        "charged": Credits(job.credits_charged),
        "batch": job.batch_id,
        "request_id": job.request_id,
        "webhook": job.webhook_url,
        "dead_letter": letter and f"{letter.id}: {letter.reason}, {letter.resolution or 'open'}",
    }
    history = _history(job)
    if arguments.json:
        print_json(record | {"history": history, "movements": movements, "outbox": messages})
        return DONE
    print_record(arguments, record)
    for title, rows in (("history", history), ("credits", movements), ("outbox", messages)):
        print(f"\n{title}\n{table(rows) if rows else '-'}")
    return DONE


def _history(job: Job) -> Records:
    """What the row keeps of the job's course, in order of time."""
    moments = {
        "created": job.created_at,
        "deferred, since its user runs as many jobs as may": job.deferred_at,
        "first attempt started": job.started_at,
        "last sign of life": job.heartbeat_at,
        "cancel requested": job.cancel_requested_at,
        "to be canceled": job.cancel_at,
        "finished": job.finished_at,
        "content erased": job.deleted_at,
    }
    known = [{"at": at, "what": what} for what, at in moments.items() if at is not None]
    return sorted(known, key=lambda one: one["at"])


async def _movements(session: AsyncSession, job: Job) -> Records:
    found = await session.scalars(
        select(Transaction).where(Transaction.job_id == job.id).order_by(Transaction.id)
    )
    return [
        {"at": one.created_at, "kind": one.kind, "credits": Credits(one.amount), "id": one.id}
        for one in found
    ]


async def _messages(session: AsyncSession, job: Job) -> Records:
    """The outbox rows of the job: their keys begin with its id."""
    found = await session.scalars(
        select(Outbox)
        .where(
            or_(
                Outbox.natural_key.startswith(f"{job.id}:", autoescape=True),
                Outbox.natural_key.startswith(f"{job.id}-", autoescape=True),
            )
        )
        .order_by(Outbox.id)
    )
    return [
        {
            "id": row.id,
            "topic": row.topic,
            "key": row.natural_key.removeprefix(job.id).lstrip(":-"),
            "attempts": row.attempts,
            "created": row.created_at,
            "done": row.done_at,
            "error": row.error,
        }
        for row in found
    ]


def _log_link(arguments: argparse.Namespace, replica: str | None) -> str | None:
    """The page of Ray's dashboard with the log of the replica that has, or had, the job."""
    if replica is None:
        return None
    return Dashboard.find(arguments.data).replica_page(replica)


async def _cancel(arguments: argparse.Namespace) -> int:
    rows = []
    async with open_service(arguments) as clients:
        async with clients.sessions() as session:
            jobs = await _get_all(session, arguments.jobs)
        for known in jobs:
            async with clients.sessions() as session:
                before = (await _get(session, known.id)).status  # as it is by now
            job = await staff_jobs.cancel(clients, OPERATOR, known.id)
            became = "asked to stop" if job.status == "running" else job.status
            rows.append({"id": job.id, "was": before, "is": became})
    print_rows(arguments, rows, none="no jobs")
    return DONE


async def _retry(arguments: argparse.Namespace) -> int:
    async with open_service(arguments) as clients:
        async with clients.sessions() as session:
            job = await _get(session, arguments.job)
            owner = await users.get(session, job.user_id)
        if owner is None or not users.is_open(owner):
            raise Refused(f"the account of {job.id} is disabled or deleted")
        again = await staff_jobs.retry(clients, OPERATOR, job.id, None, new_id("req"))
    done = {"id": job.id, "retried_as": again.job.id, "credits_quoted": again.job.credits_quoted}
    print_done(arguments, done, f"{again.job.id} does {job.id} again")
    return DONE


async def _get(session: AsyncSession, job_id: str) -> Job:
    (job,) = await _get_all(session, [job_id])
    return job


async def _get_all(session: AsyncSession, job_ids: list[str]) -> list[Job]:
    """Return the jobs, each once; raises Refused with all ids that there are not."""
    found = {job_id: await queries.get(session, job_id) for job_id in job_ids}
    if unknown := [job_id for job_id, job in found.items() if job is None]:
        raise Refused(f"there is no job {', '.join(unknown)}")
    return [job for job in found.values() if job is not None]


def _ran(job: Job) -> Any:
    if job.started_at is None:
        return None
    return (job.finished_at or job.heartbeat_at or job.started_at) - job.started_at
