"""``python -m tests.alert_drill``: the cause of each alert is produced for real, once.

A whole service is started as ./scripts/run does it, with a data folder of its own, and a real
Prometheus with the rules of ops/prometheus reads it. Then Postgres is stopped, a balance corrupted,
the disk filled, a replica killed again and again, and so on, one cause at a time, and each is
repaired before the next. What must turn true is the alert's expression: its ``for:`` is not waited
for.

Alerts whose cause needs a GPU or another machine are listed with the reason. After all causes, each
query of each panel of the dashboards must have had data at some time. The exit status is 1 if an
expression did not turn true or a panel had no data, and 2 if the drill could not begin.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

from rich.console import Console

from scripts.dev.service import StartFailed
from tests.alert_drill import panels, prometheus
from tests.alert_drill.causes import CAUSES
from tests.alert_drill.drill import Drill, Row, table
from tests.alert_drill.panels import Panel
from tests.alert_drill.rules import alert_names
from tests.alert_drill.stage import stage, until


def run(only: list[str], patience_s: float, console: Console) -> tuple[list[Row], list[Panel]]:
    """Play the causes of the alerts ``only`` names, or all of them; then look at the panels, too.

    Raises:
        StartFailed: the service did not come up.
        PrometheusFailed: Prometheus did not, or did not answer.
        TimeoutError: it does not see the service.
    """
    with stage(console) as (service, folder):
        port = int(service.base_url.rpartition(":")[2])
        with prometheus.running(folder / "prometheus", port, service.ray_folder) as server:
            until(server.has_data, "Prometheus does not see the service")
            drill = Drill(service, server, server.expressions(), patience_s, console)
            began = time.time()
            rows = list(drill.play(CAUSES, only))
            return rows, [] if only else list(panels.check(server, began, time.time()))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.alert_drill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="ALERT", choices=alert_names(),
        help="the causes of these alerts alone",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=15.0, metavar="MINUTES",
        help="wait for expressions that look back so far until they are no longer true (15)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    # It is printed on while Ray's own words on stdout are not wanted.
    console = Console(file=sys.stdout)
    if shutil.which(prometheus.PROGRAM) is None:
        console.print(f"{prometheus.PROGRAM} is not installed: it is what reads the alerts' rules")
        return 2
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)  # a plain SIGTERM would leave servers
    try:
        with redirect_stdout(io.StringIO()):
            rows, shown = run(options.only, 60 * options.patience, console)
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    except (StartFailed, prometheus.PrometheusFailed, TimeoutError) as error:
        console.print(str(error), style="bold red", markup=False, highlight=False)
        return 2
    console.print(table(rows))
    if shown:
        console.print(panels.table(shown))
    if options.json is not None:
        found = {"alerts": rows, "panels": shown}
        written = {name: [one.as_json() for one in listed] for name, listed in found.items()}
        options.json.write_text(json.dumps(written, indent=1) + "\n")
    return int(not all(one.passed for one in [*rows, *shown]))


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Ray's client threads can outlive their cluster; nothing is left that they could do.
    os._exit(status)
