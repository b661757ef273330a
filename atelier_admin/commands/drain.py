"""``atelier-admin drain``: accept no new jobs and do those that wait, or accept them again."""

from __future__ import annotations

import argparse
import asyncio
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
    start.set_defaults(run=run, order="drain")
    stop = actions.add_parser(
        "stop", help="accept new jobs again; also ends a pause", parents=[application_options()]
    )
    stop.set_defaults(run=run, order="resume", wait=None)
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
                while arguments.wait and not _are_empty(rows, arguments.generators):
                    await asyncio.sleep(POLL_S)
                    rows = await queue_rows(clients, None)
        except TimeoutError:
            pass
    print_rows(arguments, rows, none="no generators")
    waits_in_vain = arguments.wait is not None and not _are_empty(rows, arguments.generators)
    return WRONG if waits_in_vain else DONE


def _are_empty(rows: list[dict[str, Any]], generators: list[str]) -> bool:
    return all(
        (row["waiting"], row["active"], row["deferred"]) == (0, 0, 0)
        and row["oldest_waits"] is None
        for row in rows
        if generators == ["all"] or row["generator"] in generators
    )
