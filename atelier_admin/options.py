"""Options that every subcommand has, and the values that several of them read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
DATA_FOLDER = Path(".atelier")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# What a subcommand adds its parser to; argparse has no public name for it.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def default_data_folder(environ: Mapping[str, str]) -> Path:
    """Return the data folder of every subcommand that is not told another one with ``--data``.

    ``ATELIER_DATA_DIR``, as in containers, whose code belongs to root; else the one where
    ``./scripts/run`` keeps its own, below the current folder. It may not be there.
    """
    return Path(environ.get("ATELIER_DATA_DIR") or DATA_FOLDER)


def common_options() -> argparse.ArgumentParser:
    """Return the options of every subcommand, for ``parents=[...]``."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="the data folder of a ./scripts/run; its servers are used for what the environment"
        f" does not name (default $ATELIER_DATA_DIR, else {DATA_FOLDER})",
    )
    return options


def application_options() -> argparse.ArgumentParser:
    """Return the common options and those of subcommands that know the generators."""
    options = argparse.ArgumentParser(add_help=False, parents=[common_options()])
    options.add_argument(
        "--config",
        type=Path,
        default=ROOT / "serve_config.yaml",
        metavar="FILE",
        help="the Serve config file that says which generators there are",
    )
    return options


def add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=at_least(1), default=20, help="rows at most (default 20)")


def at_least(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` on."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
        if number < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return number

    return read


def last_day(text: str) -> datetime:
    """Read a day such as ``2027-01-31``; return its end in UTC, which must be to come."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("a day as 2027-01-31") from error
    end = datetime.combine(day, time.max, UTC)
    if end <= datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text} is over")
    return end


def moment(text: str) -> datetime:
    """Read a time (``2027-01-31T12:00``, UTC unless it says another offset) or an age (``2h``)."""
    if text[:-1].isdigit() and text[-1:] in _UNITS:
        return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("a time as 2027-01-31T12:00, or an age as 2h") from error
    return read if read.tzinfo else read.replace(tzinfo=UTC)
