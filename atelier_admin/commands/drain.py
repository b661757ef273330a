"""``atelier-admin drain``: accept no new jobs and do those that wait, or accept them again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from atelier_admin.commands.queues import order_queues, queue_rows
from atelier_admin.connections import open_service
from atelier_admin.errors import DONE, WRONG
from atelier_admin.options import Subparsers, application_options, at_least
from atelier_admin.output import print_rows

POLL_S = 1.0


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("drain", help="stop and start accepting jobs")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    start = actions.add_parser(
        "start", help="refuse new jobs; those that wait are done", parents=[application_options()]
    )
    start.add_argument(
        "--wait",
        type=at_least(1),
        metavar="SECONDS",
        help="until the queues are empty; else exit 1",
    )
    start.add_argument(
        "--leave-waiting",
        action="store_true",
        help="with --wait: until no job runs; those that wait may stay, as those of a paused queue",
    )
    start.set_defaults(run=run, order="drain")
    stop = actions.add_parser(
        "stop", help="accept new jobs again; also ends a pause", parents=[application_options()]
    )
    stop.set_defaults(run=run, order="resume", wait=None, leave_waiting=False)
    for parser in (start, stop):
        parser.add_argument("generators", metavar="GENERATOR", nargs="+", help="or: all")


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_service(arguments) as clients:
        await order_queues(clients, arguments.generators, arguments.order)
        rows = await queue_rows(clients, None)
        try:
            async with asyncio.timeout(arguments.wait or 0):
                while arguments.wait and _is_worth_waiting(arguments, rows):
                    await asyncio.sleep(POLL_S)
                    rows = await queue_rows(clients, None)
        except TimeoutError:
            pass
    print_rows(arguments, rows, none="no generators")
    if arguments.wait is None or not _unfinished(arguments, rows):
        return DONE
    for row in _stuck(arguments, rows):
        print(_advice(row), file=sys.stderr)
    return WRONG


def _is_worth_waiting(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> bool:
    return bool(_unfinished(arguments, rows)) and not _stuck(arguments, rows)


def _unfinished(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The queues that still have what is waited for; one that Redis did not tell of may have it."""
    ordered = [
        row
        for row in rows
        if arguments.generators == ["all"] or row["generator"] in arguments.generators
    ]
    if arguments.leave_waiting:
        return [row for row in ordered if row["active"] != 0]
    return [
        row
        for row in ordered
        if (row["waiting"], row["active"], row["deferred"]) != (0, 0, 0)
        or row["oldest_waits"] is not None
    ]


def _stuck(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of them, those that no time empties: they are paused, and jobs wait in them."""
    if arguments.leave_waiting:
        return []
    return [row for row in _unfinished(arguments, rows) if row["paused"] and _waiting(row)]


def _waiting(row: dict[str, Any]) -> int:
    return int(row["waiting"] or 0) + int(row["deferred"])


def _advice(row: dict[str, Any]) -> str:
    name = row["generator"]
    return (
        f"atelier-admin: {name} is paused: its replicas take no jobs. Waiting there:"
        f" {_waiting(row)}. Either have them done: `atelier-admin queues resume {name}` (which"
        " accepts new jobs, too), then drain again; or add --leave-waiting, which leaves them."
    )
