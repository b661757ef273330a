"""Submit a JSONL file of jobs and wait for them: one line, one job, made once.

    ray job submit -- python -m scripts.submit_batch FILE.jsonl --out DIR

A line is what ``POST /v1/jobs`` takes: ``{"generator": "image", "input": {"prompt": "..."}}``.
Where the service is and who asks come from ``--url``/``ATELIER_URL`` and ``ATELIER_API_KEY``, or
from the ``dev.json`` that ``./scripts/run`` wrote (``--dev``).

The file is UTF-8, with or without a byte order mark, or UTF-16; lines end at LF or CRLF, and empty
ones are skipped. A line that is no job is refused, and the others go on: the end names each line
that did not succeed, its field and the reason, on standard output. Progress is on standard error.

Each line's idempotency key is a hash of the line and of how often it stood above, so a second run
of the same file finds the jobs of the first. The manifest beside the file remembers finished
lines for longer than the service remembers keys: those are not even asked for again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from atelier_client.command.settings import (
    BadConfiguration,
    Service,
    ServiceNotFound,
    find_service,
)
from atelier_client.errors import describe_problem
from serve_app.batches.jsonl import BatchError, Line, RefusedLine, read_lines

FINAL = {"succeeded", "failed", "canceled"}
TIMEOUT_S = 120.0  # how long a service that is down or busy is asked again


@dataclass(frozen=True)
class KeyedLine:
    """A line, and what it is remembered by."""

    number: int
    key: str
    body: dict[str, Any]


def with_keys(lines: Sequence[Line]) -> list[KeyedLine]:
    """Give each line a key: a hash of its object and of how often this stood above."""
    keyed: list[KeyedLine] = []
    seen: Counter[str] = Counter()
    for line in lines:
        canonical = json.dumps(line.body, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(f"{canonical}#{seen[canonical]}".encode()).hexdigest()[:40]
        seen[canonical] += 1
        keyed.append(KeyedLine(line.number, f"batch-{digest}", line.body))
    return keyed


@dataclass
class Report:
    """What became of the lines: a row of the manifest for each that ended, and those skipped."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0

    @property
    def is_good(self) -> bool:
        return all(row["status"] == "succeeded" for row in self.rows)

    def summary(self) -> str:
        """Name every line that did not succeed, with the reason; then count all."""
        bad = sorted(
            (row for row in self.rows if row["status"] != "succeeded"), key=lambda row: row["line"]
        )
        lines = [f"line {row['line']}: {row['status']}: {_reason(row)}" for row in bad]
        counts = Counter(row["status"] for row in self.rows)
        total = len(self.rows) + self.skipped
        new = sum(row["new"] for row in self.rows)
        before = total - new - counts["refused"]
        made = f"{new} jobs made, {before} made before" if new else "no new jobs"
        lines.append(
            f"{total} lines: {made}; {counts['succeeded'] + self.skipped} succeeded,"
            f" {counts['failed']} failed, {counts['canceled']} canceled,"
            f" {counts['refused']} refused."
        )
        if not new and before:
            which = f"The {before} other lines were" if counts["refused"] else "Every line was"
            lines.append(f"{which} made by an earlier run.")
        return "\n".join(lines)


def _reason(row: dict[str, Any]) -> str:
    if row["status"] == "canceled":
        return "the job was canceled"
    return describe_problem(row["error"] or {})


def _content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BatchError(f"{path} cannot be read: {error}") from error


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Finished lines by key; a half-written last line (a crash) is skipped."""
    if not path.exists():
        return {}
    finished: dict[str, dict[str, Any]] = {}
    for raw in path.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(raw)
        except json.JSONDecodeError:
            continue
        if row.get("status") == "succeeded":
            finished[row["key"]] = row
    return finished


def _is_unavailable(response: httpx.Response) -> bool:
    """Whether nobody was there to answer, or it was said to come back later.

    Serve's proxy that has just been started says 404, in plain text, until it has heard of the
    application; the service itself never refuses without a problem document.
    """
    ours = response.headers.get("content-type") == "application/problem+json"
    return response.status_code in (429, 502, 503, 504) or (response.is_error and not ours)


async def _ask(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
    """One request, repeated while the service (or the store) is away.

    Raises:
        BatchError: it was away for too long.
    """
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    while True:
        try:
            response = await client.request(method, path, **more)
            if not _is_unavailable(response):
                return response
            pause = float(response.headers.get("Retry-After", "1"))
        except httpx.TransportError:
            response, pause = None, 1.0
        if asyncio.get_running_loop().time() + pause > deadline:
            said = "did not answer" if response is None else f"said {response.status_code}"
            raise BatchError(f"the service {said} for {TIMEOUT_S:.0f} s; run again to go on")
        await asyncio.sleep(pause)


async def _save_outputs(store: httpx.AsyncClient, job: dict[str, Any], folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    saved: list[str] = []
    for output in job["outputs"]:
        response = await _ask(store, "GET", output["url"])
        if hashlib.sha256(response.content).hexdigest() != output["sha256"]:
            raise BatchError(f"{job['id']}: {output['name']} arrived damaged; run again")
        target = folder / f"{job['id']}-{output['name']}"
        target.write_bytes(response.content)
        saved.append(str(target))
    return saved


async def run_line(
    client: httpx.AsyncClient, store: httpx.AsyncClient, line: KeyedLine, out: Path | None
) -> dict[str, Any]:
    """Submit one line, wait for its end and return its row of the manifest.

    ``client`` is the service's, ``store`` fetches by signed links, and has no key.

    Raises:
        BatchError: there are not enough credits, or somebody was away for too long.
    """
    row: dict[str, Any] = {"line": line.number, "key": line.key, "job_id": None, "new": False}
    response = await _ask(
        client, "POST", "/v1/jobs", json=line.body, headers={"Idempotency-Key": line.key}
    )
    if response.status_code == 402:
        raise BatchError(f"line {line.number}: {response.json()['detail']}")
    if response.status_code >= 400:
        return row | {"status": "refused", "error": response.json()}
    job = response.json()
    row |= {"job_id": job["id"], "new": response.headers.get("Idempotent-Replayed") != "true"}
    while job["status"] not in FINAL:
        answer = await _ask(client, "GET", f"/v1/jobs/{job['id']}", params={"wait": 30})
        if answer.is_error:
            raise BatchError(f"line {line.number}: {job['id']}: {answer.json()['detail']}")
        job = answer.json()
    files = await _save_outputs(store, job, out) if out and job["status"] == "succeeded" else []
    outputs = [{"name": o["name"], "sha256": o["sha256"]} for o in job["outputs"]]
    return row | {
        "status": job["status"],
        "charged": job["cost"]["charged"],
        "outputs": outputs,
        "files": files,
        "error": job["error"],
    }


async def run_batch(
    service: Service,
    lines: Sequence[KeyedLine],
    refused: Sequence[RefusedLine],
    manifest: Path,
    out: Path | None,
    parallel: int,
    report: Report,
) -> None:
    """Run every line that the manifest does not know as succeeded; fills ``report``.

    Raises:
        ExceptionGroup: of BatchError, for the first line that stopped the others.
    """
    known = read_manifest(manifest)
    todo = [line for line in lines if line.key not in known]
    report.skipped = len(lines) - len(todo)
    gate = asyncio.Semaphore(parallel)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    timeout = httpx.Timeout(10, read=60)
    headers = {"Authorization": f"Bearer {service.api_key}"} if service.api_key else {}
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with bar, manifest.open("a", encoding="utf-8") as book:
        total = len(lines) + len(refused)
        task = bar.add_task("jobs", total=total, completed=report.skipped)

        def note(row: dict[str, Any]) -> None:
            # One line, flushed: a crash loses at most the row being written.
            book.write(json.dumps(row) + "\n")
            book.flush()
            report.rows.append(row)
            bar.advance(task)

        for bad in refused:
            note(_refused_row(bad))
        async with (
            httpx.AsyncClient(base_url=service.url, headers=headers, timeout=timeout) as client,
            httpx.AsyncClient(timeout=timeout) as store,
        ):

            async def one(line: KeyedLine) -> None:
                async with gate:
                    row = await run_line(client, store, line, out)
                note(row)

            async with asyncio.TaskGroup() as group:
                for line in todo:
                    group.create_task(one(line))


def _refused_row(bad: RefusedLine) -> dict[str, Any]:
    """The row of a line that was not sent; ``error`` has the form of the service's."""
    place = bad.field.split(".") if bad.field else []
    errors = [{"loc": place, "msg": bad.reason, "code": "bad_line"}]
    error = {"detail": "The line is no job.", "code": "bad_line", "errors": errors}
    row = {"line": bad.number, "key": None, "job_id": None, "new": False}
    return row | {"status": "refused", "error": error}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.submit_batch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", help="base URL of the service")
    parser.add_argument("--dev", type=Path, metavar="FILE", help="the dev.json of a ./scripts/run")
    parser.add_argument("--manifest", type=Path, help="default: FILE.manifest.jsonl")
    parser.add_argument("--out", type=Path, help="save the outputs here")
    parser.add_argument("--parallel", type=int, default=8, help="jobs in flight (default 8)")
    arguments = parser.parse_args(argv)
    manifest = arguments.manifest or arguments.file.with_suffix(".manifest.jsonl")
    report = Report()
    stopped = ""
    try:
        service = find_service(arguments.url, arguments.dev)
        lines, refused = read_lines(_content_of(arguments.file))
        parallel = max(1, arguments.parallel)
        keyed = with_keys(lines)
        asyncio.run(run_batch(service, keyed, refused, manifest, arguments.out, parallel, report))
    except (BatchError, BadConfiguration, ServiceNotFound) as error:
        sys.exit(str(error))
    except ExceptionGroup as group:  # the first line that failed stopped the others
        known, unknown = group.split(BatchError)
        if unknown is not None or known is None:
            raise
        stopped = str(known.exceptions[0])
    print(report.summary())
    print(f"manifest: {manifest}")
    if stopped:
        open_lines = len(lines) + len(refused) - len(report.rows) - report.skipped
        sys.exit(f"stopped, {open_lines} more lines have not ended: {stopped}")
    if not report.is_good:
        sys.exit(1)


if __name__ == "__main__":
    main()
