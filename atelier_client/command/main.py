"""The command line: its commands, what errors look like, and the exit status."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Sequence
from pathlib import Path

from atelier_client.client import Client
from atelier_client.command import batch, login, look, make
from atelier_client.command.exits import INTERRUPTED, REFUSED, UNAVAILABLE, USAGE
from atelier_client.command.inputs import BadArguments
from atelier_client.command.screen import Screen
from atelier_client.command.settings import BadConfiguration, ServiceNotFound, find_service
from atelier_client.errors import (
    ApiError,
    AtelierError,
    ConnectionFailed,
    Unauthorized,
    Unavailable,
)

DESCRIPTION = """Make pictures and films with Atelier.

  atelier login http://127.0.0.1:8000
  atelier image "a red circle on a blue background" -o circle.png
  atelier run video3d mode=parallax image=@photo.jpg seconds=4 -o film.mp4
  atelier batch jobs.jsonl -o pictures

Exit status: 0 done, 1 the service refused it, 2 wrong arguments, 3 the job, or one of the batch,
failed or was canceled, 4 the service does not answer, 130 interrupted."""


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="the service, instead of ATELIER_URL or that of the login")
    common.add_argument(
        "--dev", type=Path, metavar="FILE", help="the dev.json of a ./scripts/run to speak to"
    )
    common.add_argument("--json", action="store_true", help="print what the service answers")
    whole = argparse.ArgumentParser(
        prog="atelier",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    add = functools.partial(commands.add_parser, parents=[common])
    log_in = add("login", help="make an API key by your password, and keep it")
    log_out = add("logout", help="forget the key")
    login.add_arguments(log_in, log_out)
    log_in.set_defaults(alone=login.log_in)
    log_out.set_defaults(alone=login.log_out)
    make.add_commands(add)
    batch.add_command(add)
    look.add_commands(add)
    return whole


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments. Words may stand behind options, which argparse alone refuses."""
    whole = parser()
    arguments, rest = whole.parse_known_args(argv)
    if rest and ("words" not in arguments or any(word.startswith("-") for word in rest)):
        whole.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.words = [*arguments.words, *rest]
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    arguments = parse(argv)
    screen = Screen(as_json=arguments.json)
    try:
        if "alone" in arguments:
            return int(arguments.alone(screen, arguments))
        service = find_service(arguments.url, arguments.dev)
        with Client(service.url, service.api_key or "") as client:
            return int(arguments.handle(client, screen, arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except AtelierError as error:
        if screen.as_json and isinstance(error, ApiError):
            print(json.dumps(error.problem, indent=2))
        screen.note(f"atelier: {error}")
        if isinstance(error, Unauthorized) and "alone" not in arguments:
            screen.note("`atelier login` makes a key")
        return UNAVAILABLE if isinstance(error, ConnectionFailed | Unavailable) else REFUSED
    except (BadArguments, BadConfiguration, ServiceNotFound, OSError) as error:
        screen.note(f"atelier: {error}")  # an OSError is of a file to read or to write
        return USAGE
