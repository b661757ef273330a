"""``atelier-admin audit``: read the audit log, and check that nobody changed it.

``verify`` says how many rows the chain has and the hash of the last one. Keep that hash where no
administrator of the database can change it, and give it to the next check as ``--seen``.
"""

from __future__ import annotations

import argparse
import asyncio

from atelier_admin.connections import open_sessions
from atelier_admin.errors import DONE, WRONG
from atelier_admin.options import Subparsers, add_limit, common_options, moment
from atelier_admin.output import print_done, print_rows
from db.operations import audit_chain, audit_log
from db.operations.audit_chain import ChainReport
from db.operations.audit_log import AuditFilter


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("audit", help="the audit log: read it, check its chain")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify", help="name the first row that does not fit, if any", parents=[common_options()]
    )
    verify.add_argument("--seen", default="", metavar="HASH", help="what the last check printed")
    verify.set_defaults(run=lambda arguments: asyncio.run(_verify(arguments)))

    listing = actions.add_parser("list", help="the newest rows", parents=[common_options()])
    listing.add_argument("--actor", metavar="ID", help="only what they did")
    listing.add_argument("--subject", metavar="ID", help="only about it")
    listing.add_argument("--action", help="as user.grant")
    listing.add_argument("--since", type=moment, metavar="WHEN", help="as 2h or 2027-01-31T12:00")
    add_limit(listing)
    listing.set_defaults(run=lambda arguments: asyncio.run(_list(arguments)))


async def _verify(arguments: argparse.Namespace) -> int:
    async with open_sessions(arguments) as sessions, sessions() as session:
        report = await audit_chain.check(session, arguments.seen)
    is_whole = report.broken_id is None and report.has_seen
    record = {
        "rows": report.rows,
        "head": report.head or None,
        "broken_id": report.broken_id,
        "has_seen": report.has_seen,
    }
    print_done(arguments, record, _in_words(report, arguments.seen))
    return DONE if is_whole else WRONG


def _in_words(report: ChainReport, seen: str) -> str:
    if report.broken_id is not None:
        return f"row {report.broken_id} does not follow from the {report.rows} before it"
    if not report.has_seen:
        return f"no row has the hash {seen}: rows were removed or chained anew"
    return f"{report.rows} rows, the last with the hash {report.head or '(none)'}"


async def _list(arguments: argparse.Namespace) -> int:
    which = AuditFilter(arguments.actor, arguments.subject, arguments.action, arguments.since)
    async with open_sessions(arguments) as sessions, sessions() as session:
        found = await audit_log.page(session, which, None, arguments.limit)
    rows = [
        {
            "id": row.id,
            "at": row.created_at,
            "actor": row.actor,
            "action": row.action,
            "subject": row.subject,
            "detail": row.detail,
        }
        for row in found
    ]
    print_rows(arguments, rows, none="no rows")
    return DONE
