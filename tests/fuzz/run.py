"""Run Schemathesis over the live OpenAPI document, and read its verdict."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.fuzz.stage import Visitor

CONFIG = Path(__file__).parent / "schemathesis.toml"
# Below this many cases a call, only what is random is tried.
THOROUGH_FROM = 3


@dataclass(frozen=True)
class Verdict:
    """What one visitor found. ``output`` tells of every failure, with the request to repeat it."""

    visitor: str
    operations: int
    cases: int
    failures: dict[str, int]
    seconds: float
    output: str

    @property
    def is_clean(self) -> bool:
        return not self.failures and self.cases > 0


async def fuzz(url: str, visitor: Visitor, per_call: int, seed: int, folder: Path) -> Verdict:
    """Ask every call of the document ``per_call`` times or more as ``visitor``.

    From ``THOROUGH_FROM`` on the boundaries of every parameter and sequences of calls are tried as
    well. ``folder`` takes the report.
    """
    report = folder / f"{visitor.name}.json"
    phases = ["examples", "fuzzing"]
    if per_call >= THOROUGH_FROM:
        phases += ["coverage", "stateful"]
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color"),
        *("run", f"{url}/openapi.json", "--phases", ",".join(phases), "--seed", str(seed)),
        *("--max-examples", str(per_call), "--continue-on-failure", "--no-shrink"),
        *("--generation-database", "none", "--warnings", "off", "--request-retries", "0"),
        *("--report", "json", "--report-json-path", str(report)),
    ]
    for name, value in visitor.headers.items():
        command += ["--header", f"{name}: {value}"]
    for path in visitor.left_out:
        command += ["--exclude-path", path]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:  # this was cancelled
            process.kill()
            await process.wait()
    found = json.loads(report.read_text())
    failures = {group["title"]: group["count"] for group in found["failures"] + found["errors"]}
    if process.returncode and not failures:
        failures["the run did not end well"] = 1
    if not await _is_known(url, visitor):
        failures["the credentials stopped working"] = 1
    return Verdict(
        visitor=visitor.name,
        operations=found["operations"]["tested"],
        cases=found["test_cases"]["generated"],
        failures=failures,
        seconds=time.monotonic() - began,
        output=output.decode(errors="replace"),
    )


async def _is_known(url: str, visitor: Visitor) -> bool:
    """Whether the visitor is still who they were: a run of 401s alone finds nothing."""
    if not visitor.headers:
        return True
    async with httpx.AsyncClient(timeout=90) as client:
        return (await client.get(f"{url}/v1/me", headers=visitor.headers)).status_code == 200
