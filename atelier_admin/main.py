"""The operator's command: ``python -m atelier_admin.main --help``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from atelier_admin.commands import backup, drill, restore, wal


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="atelier-admin", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="command")
    backup.add_parser(subparsers)
    restore.add_parser(subparsers)
    drill.add_parser(subparsers)
    wal.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
