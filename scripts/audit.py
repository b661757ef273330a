"""Check the audit log: ``python -m scripts.audit verify``, with ``DATABASE_URL`` set.

It says how many rows the chain has and the hash of the last one. Keep that hash where no
administrator of the database can change it, and give it to the next check as ``--seen``.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from db.migrate import address_from_environment
from db.operations import audit_chain
from db.operations.audit_chain import ChainReport
from db.session import make_sessions, open_engine


async def verify(database_url: str, seen: str = "") -> ChainReport:
    """Check the whole chain; ``seen`` is the hash that an earlier check printed."""
    engine = open_engine(database_url, pool_size=1)
    try:
        async with make_sessions(engine)() as session:
            return await audit_chain.check(session, seen)
    finally:
        await engine.dispose()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.audit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="name the first row that does not fit, if any")
    check.add_argument("--seen", default="", metavar="HASH", help="what the last check printed")
    arguments = parser.parse_args(argv)
    report = asyncio.run(verify(address_from_environment(), arguments.seen))
    if report.broken_id is not None:
        raise SystemExit(f"row {report.broken_id} does not follow from the {report.rows} before it")
    if not report.has_seen:
        raise SystemExit(f"no row has the hash {arguments.seen}: rows were removed or chained anew")
    print(f"{report.rows} rows, the last with the hash {report.head or '(none)'}")


if __name__ == "__main__":
    main()
