"""Write the tables of error codes in docs/api.md, from the code that raises them.

python -m scripts.error_codes          # prints the page
python -m scripts.error_codes --write  # into docs/api.md
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.error_codes import JOB_ERROR_CODES
from serve_app.http import errors
from serve_app.http.field_codes import FIELD_CODES

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
BLOCK = re.compile(r"(<!-- codes: (\w+) -->\n).*?(<!-- /codes -->)", re.DOTALL)


@dataclass(frozen=True)
class ErrorCode:
    """A public code: ``source`` is the HTTP status, ``job error`` or ``field``."""

    code: str
    source: str
    when: str
    retryable: bool


def problems(base: type[errors.Problem] = errors.Problem) -> Iterator[type[errors.Problem]]:
    """``base`` and every class of ``serve_app.http.errors`` below it."""
    if base.__module__ == errors.__name__:
        yield base
        for problem in base.__subclasses__():
            yield from problems(problem)


def error_codes() -> list[ErrorCode]:
    """Every public code: of HTTP answers by status, then of failed jobs, then of single fields."""
    http = [
        ErrorCode(problem.code, str(problem.status), problem.when, problem.retryable)
        for problem in problems()
    ]
    http += [
        ErrorCode(code, str(status), when, False)
        for code, (status, when) in errors.FRAMEWORK_CODES.items()
    ]
    jobs = [ErrorCode(job.code, "job error", job.when, job.retryable) for job in JOB_ERROR_CODES]
    fields = [ErrorCode(code, "field", when, False) for code, when in FIELD_CODES.items()]
    return [*sorted(http, key=lambda code: int(code.source)), *jobs, *fields]


def render_page(page: str) -> str:
    """``page`` with each of its marked blocks written anew."""
    codes = error_codes()
    tables = {
        "http": _table("status", [code for code in codes if code.source.isdigit()]),
        "job": _table("source", [code for code in codes if code.source == "job error"]),
        "field": _table("source", [code for code in codes if code.source == "field"]),
    }
    return BLOCK.sub(lambda block: block[1] + tables[block[2]] + block[3], page)


def _table(source: str, codes: Sequence[ErrorCode]) -> str:
    lines = [f"| {source} | `code` | when | retryable |", "|---|---|---|---|"]
    for code in codes:
        retryable = "yes" if code.retryable else "no"
        lines.append(f"| {code.source} | `{code.code}` | {code.when} | {retryable} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.error_codes", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/api.md")
    options = parser.parse_args(argv)
    text = render_page(PAGE.read_text(encoding="utf-8"))
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
