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
from pathlib import Path

from models.profiles.load import load_profile, profile_names
from tests.rehearsal import report

# Of the quick rehearsal: each family of networks once, on the smallest card and on the largest.
QUICK = {
    "rtx3050": ("text_to_image", "control", "image_to_video", "human_parsing", "text"),
    "datacenter": ("text_to_image", "depth", "upscale"),
}


def cases(profiles: list[str], quick: bool) -> list[tuple[str, str, bool]]:
    from tests.rehearsal import work

    found = []
    for name in profiles:
        profile = load_profile(name)
        for capability in work.rehearsed(profile):
            if not quick or capability.value in QUICK.get(name, ()):
                found.append((name, capability.value, quick))
    return found


def main() -> int:
    cards = [name for name in profile_names() if load_profile(name).device == "cuda"]
    parser = argparse.ArgumentParser(prog="./scripts/rehearse", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some of it, in minutes")
    parser.add_argument("--profile", choices=cards, action="append", help="by default all")
    parser.add_argument("--json", type=Path, help="write the lines there too")
    parser.add_argument("--write-docs", action="store_true", help="write docs/gpu.md")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    asked = parser.parse_args()
    started, rows = time.monotonic(), []
    # What is under no free licence is rehearsed, too: it has no weights here.
    os.environ["ALLOW_NONCOMMERCIAL_WEIGHTS"] = "1"
    with tempfile.TemporaryDirectory(prefix="atelier-hub-") as folder:
        # Before any of these is imported.
        os.environ |= {"HF_HUB_CACHE": folder, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
        from tests.rehearsal import run

        wanted = cases(asked.profile or cards, asked.quick)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(asked.jobs, mp_context=context) as pool:
            pending = {pool.submit(run.rehearse, *case): case for case in wanted}
            for done in as_completed(pending):
                rows += (made := done.result())
                for row in made:
                    print(report.line(row), file=sys.stderr, flush=True)
    rows.sort(key=lambda row: wanted.index((row["profile"], row["capability"], asked.quick)))
    report.show(rows)
    print(f"{len(rows)} lines in {time.monotonic() - started:.0f} s")
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")
    if asked.write_docs:
        report.write_docs(rows)
    return 1 if any(row["faults"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
