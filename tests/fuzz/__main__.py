"""``python -m tests.fuzz --cases 3000``: requests of every kind, made from the OpenAPI document.

Schemathesis asks every call with valid and invalid input, as nobody, as a customer and as an
administrator, and holds each answer against the document. The boundaries of every parameter and
sequences of calls come on top of ``--cases``: 3,000 make about 8,000 requests, in seven minutes.

The exit status is 1 if there was a 5xx, a status, header or content type that the document does not
have, or an answer that does not fit its schema; or if invalid input was accepted.

The API is started here over stores of its own. ``--url`` asks one that runs, as nobody and with
``--api-key``: on a service with data that matter, do not.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from tests.fuzz.run import Verdict, fuzz
from tests.fuzz.stage import Visitor, stage

CALLS = 58  # about; how many cases that makes is told afterwards


async def main(options: argparse.Namespace, console: Console) -> bool:
    task = asyncio.current_task()
    assert task is not None
    # A plain SIGTERM would leave the servers running.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if options.url is None:
        async with stage() as (url, visitors):
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
            verdicts = await _fuzz_all(url, visitors, options)
    else:
        visitors = [Visitor("nobody", {})]
        if options.api_key:
            left_out = ["/v1/api-keys/{key_id}"]
            visitors.append(Visitor("key", {"X-API-Key": options.api_key}, left_out))
        verdicts = await _fuzz_all(options.url.rstrip("/"), visitors, options)
    _show(verdicts, console)
    return all(verdict.is_clean for verdict in verdicts)


async def _fuzz_all(
    url: str, visitors: list[Visitor], options: argparse.Namespace
) -> list[Verdict]:
    per_call = max(1, options.cases // (len(visitors) * CALLS))
    with tempfile.TemporaryDirectory(prefix="atl-fuzz-") as folder:
        return [
            await fuzz(url, visitor, per_call, options.seed, Path(folder)) for visitor in visitors
        ]


def _show(verdicts: list[Verdict], console: Console) -> None:
    table = Table("as", "calls", "cases", "failures", "seconds")
    for verdict in verdicts:
        if not verdict.is_clean:
            console.print(verdict.output, markup=False, highlight=False, soft_wrap=True)
        table.add_row(
            verdict.visitor,
            str(verdict.operations),
            f"{verdict.cases:,}",
            "\n".join(f"{title}: {count}" for title, count in verdict.failures.items()) or "0",
            f"{verdict.seconds:.0f}",
        )
    console.print(table)
    console.print(f"{sum(verdict.cases for verdict in verdicts):,} cases")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", type=int, default=3000, help="random ones, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="of a service that runs, instead of one started here")
    parser.add_argument("--api-key", help="a key of the service at --url")
    sys.exit(not asyncio.run(main(parser.parse_args(), Console())))
