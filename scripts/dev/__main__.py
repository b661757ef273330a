"""Starts the service on this machine, makes a picture, and stays up until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from atelier_admin.local_run import DEFAULT_PORT
from atelier_client import AtelierError
from db.embedded.lock import DataInUse, DataOfAnother, locked
from scripts.dev.profile import ProfileNotUsable, choose_profile, fetch_weights
from scripts.dev.service import LocalService, StartFailed

PROMPT = "a woman with red hair in a blue shirt at the beach"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/run", description=__doc__)
    parser.add_argument("--prompt", default=PROMPT, help="what the first picture shows")
    parser.add_argument(
        "--profile", help="the models to run (docs/models.md); by default those for this machine"
    )
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="use no card; the first set-up then installs PyTorch without CUDA",
    )
    parser.add_argument("--once", action="store_true", help="stop everything after the picture")
    parser.add_argument(
        "--port", type=int, help=f"of the HTTP API (default {DEFAULT_PORT}, or a free one)"
    )
    parser.add_argument(
        "--data", type=Path, default=Path(".atelier"), help="where everything is kept"
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="where pictures are saved")
    return parser.parse_args(argv)


def _stop_on_signals() -> None:
    # SIGTERM and a closed terminal end it the way Ctrl-C does: in order. SIGINT is named too,
    # because a shell has its background jobs ignore it.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)


def run(arguments: argparse.Namespace, console: Console) -> None:
    started = time.monotonic()
    with locked(arguments.data):
        profile = choose_profile(arguments.profile, arguments.cpu, os.environ, console)
        fetch_weights(profile, console)
        service = LocalService(arguments.data, arguments.port, DEFAULT_PORT, profile, console)
        try:
            service.start()
            console.print(f"[green]up after {time.monotonic() - started:.0f} s")
            saved = service.first_picture(arguments.prompt, arguments.out)
            console.print(f"[bold green]{saved}[/]  {arguments.prompt}")
            if arguments.once:
                return
            service.print_links()
            while True:
                signal.pause()
        finally:
            # A second Ctrl-C must not cut the stopping short and leave servers behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            service.stop()


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse(argv)
    console = Console(file=sys.stdout)
    _stop_on_signals()
    try:
        run(arguments, console)
    except KeyboardInterrupt:
        console.print("stopped")
        if arguments.once:
            sys.exit(130)
    except (DataInUse, DataOfAnother, ProfileNotUsable, StartFailed, AtelierError) as error:
        # What is to be copied from it must not be broken into lines.
        console.print(str(error), style="bold red", markup=False, highlight=False, soft_wrap=True)
        doctor = f"{sys.executable} -m atelier_admin doctor"
        console.print(f"what is wrong, in words: {doctor}", soft_wrap=True)
        sys.exit(1)
    finally:
        sys.stdout.flush()
    # Ray's client threads can outlive their cluster; nothing is left that they could do.
    os._exit(0)


if __name__ == "__main__":
    main()
