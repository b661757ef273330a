"""``atelier-admin incident``: disturbances that users read of on ``/status``."""

from __future__ import annotations

import argparse
import asyncio

from atelier_admin.connections import OPERATOR, find_generators, open_sessions
from atelier_admin.errors import DONE, Refused
from atelier_admin.options import Subparsers, add_limit, application_options, common_options
from atelier_admin.output import print_done, print_rows
from db.operations import incidents
from db.session import Sessions
from serve_app.admin import incidents as staff_incidents
from serve_app.http.errors import NotFound


def add_parser(subparsers: Subparsers) -> None:
    group = subparsers.add_parser("incident", help="disturbances that users read of on /status")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    opening = actions.add_parser("open", help="tell of one", parents=[application_options()])
    opening.add_argument("title", type=_words, metavar="TITLE", help="what users notice")
    opening.add_argument("--generator", metavar="NAME", help="whose jobs; without it, of all")
    opening.set_defaults(run=run, action=_open)

    note = actions.add_parser("note", help="say what is new", parents=[common_options()])
    note.add_argument("incident", metavar="ID")
    note.add_argument("text", type=_words, metavar="TEXT")
    note.set_defaults(run=run, action=_note)

    closing = actions.add_parser("close", help="say that it is over", parents=[common_options()])
    closing.add_argument("incident", metavar="ID")
    closing.set_defaults(run=run, action=_close)

    listing = actions.add_parser("list", help="the newest", parents=[common_options()])
    add_limit(listing)
    listing.set_defaults(run=run, action=_list)


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_sessions(arguments) as sessions:
        return int(await arguments.action(arguments, sessions))


async def _open(arguments: argparse.Namespace, sessions: Sessions) -> int:
    generator: str | None = arguments.generator
    if generator is not None:
        known = find_generators(arguments.config)
        if generator not in known:
            raise Refused(f"no generator {generator}; there are {', '.join(known)}")
    incident_id = await staff_incidents.open_incident(
        sessions, OPERATOR, arguments.title, generator
    )
    done = {"id": incident_id, "title": arguments.title, "generator": generator}
    print_done(arguments, done, f"{incident_id} is open")
    return DONE


async def _note(arguments: argparse.Namespace, sessions: Sessions) -> int:
    try:
        await staff_incidents.add_note(sessions, OPERATOR, arguments.incident, arguments.text)
    except NotFound as error:
        raise Refused(f"there is no incident {arguments.incident}") from error
    done = {"id": arguments.incident, "noted": arguments.text}
    print_done(arguments, done, f"{arguments.incident} has a new note")
    return DONE


async def _close(arguments: argparse.Namespace, sessions: Sessions) -> int:
    if not await staff_incidents.close(sessions, OPERATOR, arguments.incident):
        raise Refused(f"no incident {arguments.incident} is open")
    done = {"id": arguments.incident, "state": "closed"}
    print_done(arguments, done, f"{arguments.incident} is closed")
    return DONE


async def _list(arguments: argparse.Namespace, sessions: Sessions) -> int:
    async with sessions() as session:
        stories = await incidents.newest(session, arguments.limit)
    rows = [
        {
            "id": story.incident.id,
            "title": story.incident.title,
            "generator": story.incident.generator,
            "opened": story.incident.opened_at,
            "closed": story.incident.closed_at,
            "last_note": story.notes[-1].text if story.notes else None,
        }
        for story in stories
    ]
    print_rows(arguments, rows, none="no incidents")
    return DONE


def _words(text: str) -> str:
    """Read a text that users are to read."""
    if not (words := text.strip()):
        raise argparse.ArgumentTypeError("must say something")
    return words
