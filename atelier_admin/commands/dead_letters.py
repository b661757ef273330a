"""``atelier-admin dead-letters``: what was given up or fails, and another try of it.

Of three kinds: jobs whose replicas were lost (``dead_...``), webhooks and mails that could not be
delivered, and other rows of the outbox that fail again and again (by number).
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from atelier_admin.connections import ACTOR, OPERATOR, open_service, open_sessions
from atelier_admin.errors import DONE, Refused
from atelier_admin.options import Subparsers, add_limit, application_options, common_options
from atelier_admin.output import print_done, print_rows
from db.ids import new_id
from db.jobs import dead_letters
from db.operations import audit_log
from db.outbox import failed
from db.outbox.rows import ENQUEUE, MAIL, NOTIFY, WEBHOOK
from db.session import Sessions
from db.tables import Outbox
from serve_app.admin import dead_letters as letters

KINDS = ("job", WEBHOOK, MAIL, ENQUEUE, NOTIFY)


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("dead-letters", help="jobs, webhooks and mails given up; retry")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the newest of them", parents=[common_options()])
    listing.add_argument("--kind", choices=KINDS)
    listing.add_argument(
        "--all", action="store_true", help="also jobs that were retried or dropped"
    )
    add_limit(listing)
    listing.set_defaults(run=lambda arguments: asyncio.run(_list(arguments)))

    retry = actions.add_parser(
        "retry",
        help="try it once more; the owner pays for a job as for any",
        parents=[application_options()],
    )
    drop = actions.add_parser(
        "drop", help="nothing more is to be done about a job", parents=[application_options()]
    )
    for parser, about in ((retry, "dead_... or the number of an outbox row"), (drop, "dead_...")):
        parser.add_argument("letters", metavar="ID", nargs="+", help=about)
    retry.set_defaults(run=lambda arguments: asyncio.run(_retry(arguments)))
    drop.set_defaults(run=lambda arguments: asyncio.run(_drop(arguments)))


async def _list(arguments: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    async with open_sessions(arguments) as sessions, sessions() as session:
        if arguments.kind in (None, "job"):
            found = await dead_letters.page(
                session, unresolved=not arguments.all, after=None, limit=arguments.limit
            )
            rows += [
                {
                    "id": letter.id,
                    "kind": "job",
                    "about": f"{job.id} ({letter.generator})",
                    "attempts": job.attempt,
                    "state": letter.resolution or "given up",
                    "reason": letter.reason,
                    "created": letter.created_at,
                }
                for letter, job in found
            ]
        if arguments.kind != "job":
            failures = await failed.page(session, arguments.kind, arguments.limit)
            rows += [_outbox_row(row) for row in failures]
    print_rows(arguments, rows, none="nothing was given up")
    return DONE


def _outbox_row(row: Outbox) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "kind": row.topic,
        "about": row.natural_key,
        "attempts": row.attempts,
        "state": "given up" if row.done_at is not None else "is tried again",
        "reason": row.error,
        "created": row.created_at,
    }


async def _retry(arguments: argparse.Namespace) -> int:
    wanted = list(dict.fromkeys(arguments.letters))
    numbers = [int(one) for one in wanted if one.isdigit()]
    jobs = [one for one in wanted if not one.isdigit()]
    rows = []
    async with open_sessions(arguments) as sessions:
        await _require(sessions, jobs, numbers)
        if jobs:
            async with open_service(arguments) as clients:
                for letter_id in jobs:
                    letter, _ = await letters.retry(clients, OPERATOR, letter_id, new_id("req"))
                    rows.append({"id": letter.id, "became": letter.retried_as})
        rows += [await _send_again(sessions, number) for number in numbers]
    print_rows(arguments, rows, none="nothing was given up")
    return DONE


async def _send_again(sessions: Sessions, row_id: int) -> dict[str, Any]:
    async with sessions.begin() as session:
        row = await failed.retry(session, row_id)
        if row is None:
            raise Refused(_why_not(row_id, await session.get(Outbox, row_id)))
        await audit_log.write(
            session,
            actor=ACTOR,
            action="outbox.retried",
            subject=str(row.id),
            detail={"topic": row.topic, "natural_key": row.natural_key},
        )
    return {"id": str(row.id), "became": "due now"}


def _why_not(row_id: int, row: Outbox | None) -> str:
    if row is None:
        return f"there is no outbox row {row_id}"
    if row.topic == MAIL and row.done_at is not None and row.error is not None:
        return (
            f"mail {row_id} cannot be sent again: whom it was for is forgotten; they may ask anew"
        )
    return f"outbox row {row_id} has not failed"


async def _drop(arguments: argparse.Namespace) -> int:
    wanted = list(dict.fromkeys(arguments.letters))
    async with open_service(arguments) as clients:
        await _require(clients.sessions, wanted)
        for letter_id in wanted:
            await letters.drop(clients, OPERATOR, letter_id)
    print_done(arguments, {"dropped": wanted}, f"dropped: {', '.join(wanted)}")
    return DONE


async def _require(sessions: Sessions, jobs: list[str], numbers: Sequence[int] = ()) -> None:
    """Raise Refused, with each letter and each row of the outbox that is not there or not open."""
    faults = []
    async with sessions() as session:
        for letter_id in jobs:
            found = await dead_letters.get(session, letter_id)
            if found is None:
                faults.append(f"there is no dead letter {letter_id}")
            elif found[0].resolution is not None:
                faults.append(f"{letter_id} was {found[0].resolution} before")
        for row_id in numbers:
            if not await failed.can_retry(session, row_id):
                faults.append(_why_not(row_id, await session.get(Outbox, row_id)))
    if faults:
        raise Refused("; ".join(faults))
