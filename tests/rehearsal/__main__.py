"""Rehearses every profile on a card that is not there: ``./scripts/rehearse [--quick]``.

Prints a table and ends with 1 if a line of it says what is wrong. ``--write-docs`` writes the table
into ``docs/gpu.md``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from tests.rehearsal import cases, report


def main() -> int:
    known = cases.cards()
    parser = argparse.ArgumentParser(prog="./scripts/rehearse", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some of it, in minutes")
    parser.add_argument("--profile", choices=known, action="append", help="by default all")
    parser.add_argument("--capability", action="append", help="such as control; by default all")
    parser.add_argument("--json", type=Path, help="write the lines there too")
    parser.add_argument("--write-docs", action="store_true", help="write docs/gpu.md")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="atelier-hub-") as folder:
        # Before any of these is imported.
        os.environ |= {"HF_HUB_CACHE": folder, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
        from tests.rehearsal import run

        wanted = [
            case
            for case in cases.cases(asked.profile or known, asked.quick)
            if not asked.capability or case.capability.value in asked.capability
        ]
        made: dict[cases.Case, list[run.Row]] = {}
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(asked.jobs, mp_context=context) as pool:
            pending = {
                pool.submit(run.rehearse, group[0]): group for group in cases.grouped(wanted)
            }
            for done in as_completed(pending):
                for case in pending[done]:
                    made[case] = [row.of(case) for row in done.result()]
                    for row in made[case]:
                        print(report.line(asdict(row)), file=sys.stderr, flush=True)
    rows = [asdict(row) for case in wanted for row in made[case]]
    report.show(rows)
    print(f"{len(rows)} lines in {time.monotonic() - started:.0f} s")
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")
    if asked.write_docs:
        report.write_docs(rows)
    return 1 if any(row["faults"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
