"""Ask a running Prometheus every query of every panel:
``python -m scripts.check_dashboards --prometheus http://127.0.0.1:9090``.

Prints each query and how many series it returned. Exit status 0: all are valid; 1: one is not, or,
with ``--require-data``, returned nothing; 2: Prometheus did not answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import httpx

from scripts.dashboards import queries

# What Grafana puts in its place for a panel of six hours.
RATE_INTERVAL = "1m"
TIMEOUT_S = 30.0


def count_series(http: httpx.Client, expression: str) -> int:
    """How many series the query returns now.

    Raises:
        ValueError: Prometheus does not understand it; the message says why.
    """
    expression = expression.replace("$__rate_interval", RATE_INTERVAL)
    answer = http.get("/api/v1/query", params={"query": expression}).json()
    if answer["status"] != "success":
        raise ValueError(answer["error"])
    return len(answer["data"]["result"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.check_dashboards", description=__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--require-data", action="store_true", help="a query without data is wrong")
    options = parser.parse_args(argv)
    wrong = empty = total = 0
    try:
        with httpx.Client(base_url=options.prometheus, timeout=TIMEOUT_S) as http:
            for dashboard, title, expression in queries():
                total += 1
                try:
                    series = count_series(http, expression)
                except ValueError as error:
                    wrong += 1
                    print(f"wrong    {dashboard}: {title}\n         {expression}\n         {error}")
                    continue
                empty += not series
                print(f"{series or 'no data':>7}  {dashboard}: {title}\n         {expression}")
    except (httpx.HTTPError, KeyError, ValueError) as error:
        print(f"Prometheus did not answer: {error}", file=sys.stderr)
        return 2
    print(f"{total} queries: {wrong} wrong, {empty} without data")
    return 1 if wrong or (options.require_data and empty) else 0


if __name__ == "__main__":
    raise SystemExit(main())
