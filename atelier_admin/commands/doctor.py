"""``atelier-admin doctor``: what is wrong on this machine, and what to do. It changes nothing.

It checks the machine (Python, packages, disk, memory, cards, ports), the profile that it would run
and its weights, and the run of ``--data`` (its servers, HTTP API and Ray), or the HTTP API of a
node. Exit status 1: something is wrong.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from rich.console import Console

from atelier_admin.diagnosis import examine
from atelier_admin.errors import DONE, WRONG
from atelier_admin.options import Subparsers, common_options
from atelier_admin.output import print_json
from atelier_admin.servers import data_folder

MARKS = {True: "[bold red]wrong[/]", False: "[green]ok[/]   ", None: "     "}


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "doctor", help="what is wrong on this machine, and what to do", parents=[common_options()]
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    findings = examine(data_folder(arguments.data).resolve())
    if arguments.json:
        print_json({"data": [asdict(finding) for finding in findings]})
    else:
        console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        for finding in findings:
            console.print(MARKS[finding.is_problem], end=" ")
            console.print(f"{finding.subject:14} {finding.message}", markup=False)
    return WRONG if any(finding.is_problem for finding in findings) else DONE
