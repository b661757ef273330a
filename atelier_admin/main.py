"""The command line: its subcommands, what errors look like, and the exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from atelier_admin.commands import (
    audit,
    backup,
    dead_letters,
    doctor,
    drain,
    drill,
    grants,
    incident,
    jobs,
    keys,
    models,
    queues,
    reconcile,
    restore,
    scale,
    stripe,
    users,
    wal,
)
from atelier_admin.errors import DONE, INTERRUPTED, UNREACHABLE, USAGE, WRONG, AdminError
from billing.stripe.client import StripeRejected
from db.errors import StoreUnavailable
from deployments.log_config import configure_logging
from serve_app.http.errors import Problem

# Each has ``add_parser(subparsers)``, in the order of the help.
COMMANDS = (
    users, keys, grants, jobs, queues, drain, scale, dead_letters, incident,
    reconcile, audit, stripe, doctor, models, backup, wal, restore, drill,
)  # fmt: skip

DESCRIPTION = """Look after Atelier: accounts, credits, jobs, queues, replicas, books.

  atelier-admin users list
  atelier-admin grants give ada@example.com 500 --reason "a failed film"
  atelier-admin jobs show job_01...
  atelier-admin queues pause image
  atelier-admin doctor

It works on the stores directly, also while the HTTP API is down. They are those that the
environment names (DATABASE_URL, REDIS_URL, S3_...), else those of the ./scripts/run of this folder.

Exit status: 0 done, 1 refused or something is wrong, 2 wrong arguments or settings, 4 a server does
not answer, 130 interrupted."""


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    whole = argparse.ArgumentParser(
        prog="atelier-admin",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return whole


def command() -> int:
    """Run the command of this process: its log goes to standard error."""
    configure_logging(logging.ERROR)
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # such as of `| head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except AdminError as error:
        return _fail(str(error), error.status)
    except Problem as error:
        reasons = "; ".join(one["msg"] for one in error.errors)
        return _fail(f"{error.detail} {reasons}".strip(), WRONG)
    except ValidationError as error:
        # The message names the variables, and never their values.
        return _fail(f"settings: {_faults(error)}", USAGE)
    except StripeRejected as error:
        return _fail(f"Stripe rejected it: {error}", WRONG)
    except (StoreUnavailable, RedisError) as error:
        return _fail(_hint(f"{error}" or type(error).__name__, arguments), UNREACHABLE)
    except (InterfaceError, OperationalError) as error:
        # Its own message may hold a password.
        return _fail(_hint(f"Postgres: {type(error.orig).__name__}", arguments), UNREACHABLE)
    except DBAPIError as error:
        reason = f"{type(error.orig).__name__}; is the database at the newest schema (alembic)?"
        return _fail(f"Postgres refused it: {reason}", WRONG)


def _fail(message: str, status: int) -> int:
    print(f"atelier-admin: {message}", file=sys.stderr)
    return status


def _hint(fault: str, arguments: argparse.Namespace) -> str:
    data: Path | None = getattr(arguments, "data", None)
    return f"{fault}; `atelier-admin doctor{f' --data {data}' if data else ''}` says what is down"


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}"
        for one in error.errors(include_url=False, include_input=False)
    )
