"""A small client of the HTTP API, and the search for the service and the API key."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class ServiceNotFound(RuntimeError):
    """The address of the service or the API key is unknown; the message says how to set them."""


@dataclass(frozen=True)
class Service:
    url: str
    api_key: str


def find_service(url: str | None, dev: Path) -> Service:
    """Find the service: in the environment, else in the file ``dev`` that ./scripts/run writes."""
    api_key = os.environ.get("ATELIER_API_KEY")
    url = url or os.environ.get("ATELIER_URL")
    if url and api_key:
        return Service(url, api_key)
    try:
        found = json.loads(dev.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ServiceNotFound(
            f"set ATELIER_URL and ATELIER_API_KEY, or start ./scripts/run ({dev}: {error})"
        ) from error
    return Service(url or found["base_url"], api_key or found["api_key"])


class RequestRejected(RuntimeError):
    """The service refused the request, or the job failed; the message is the service's."""


@dataclass(frozen=True)
class Event:
    name: str
    data: dict[str, Any]


def events(lines: Iterator[str]) -> Iterator[Event]:
    """Parse server-sent events from the lines of a response."""
    name, data = "message", ""
    for line in lines:
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data += line.removeprefix("data:").strip()
        elif not line and data:
            yield Event(name, json.loads(data))
            name, data = "message", ""


class ApiClient:
    def __init__(self, base_url: str, api_key: str) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(10, read=60),
        )

    def close(self) -> None:
        self._http.close()

    def submit(self, generator: str, values: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._http.post("/v1/jobs", json={"generator": generator, "input": values})
        except UnicodeEncodeError as error:
            raise RequestRejected("the input holds half a surrogate pair (a cut emoji)") from error
        return _checked_json(answer)

    def upload(self, path: Path) -> str:
        """Upload the file ``path``; returns its id."""
        with path.open("rb") as content:
            answer = self._http.post(
                "/v1/files", files={"file": (path.name, content)}, data={"purpose": "input"}
            )
        return str(_checked_json(answer)["id"])

    def follow(self, job_id: str, console: Console) -> dict[str, Any]:
        """Wait for the end of the job and return it; shows a progress bar."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("queued", total=1.0)
            with self._http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
                if answer.status_code != 200:
                    answer.read()
                    _checked_json(answer)
                for event in events(answer.iter_lines()):
                    if event.name == "progress":
                        bar.update(
                            task,
                            completed=event.data["fraction"],
                            description=event.data["stage"],
                        )
                    elif event.name == "done":
                        bar.update(task, completed=1.0, description=event.data["job"]["status"])
                        break
        return _checked_json(self._http.get(f"/v1/jobs/{job_id}", params={"wait": 60}))

    def save_outputs(self, job: dict[str, Any], folder: Path) -> list[Path]:
        """Download the outputs of a job by their signed links."""
        if job["status"] != "succeeded":
            reason = (job.get("error") or {}).get("detail", "")
            raise RequestRejected(f"the job {job['id']} is {job['status']}: {reason}")
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for output in job["outputs"]:
            answer = httpx.get(output["url"], timeout=30)
            answer.raise_for_status()
            path = folder / f"{job['id']}-{output['name']}"
            path.write_bytes(answer.content)
            saved.append(path)
        return saved


def problem_words(problem: Mapping[str, Any]) -> str:
    """Say what a problem document says: every field with its reason, or else the detail."""
    faults = [
        ": ".join((*([".".join(map(str, one["loc"]))] if one["loc"] else []), one["msg"]))
        for one in problem.get("errors") or ()
    ]
    return "; ".join(faults) or str(problem.get("detail") or problem.get("title") or "no reason")


def _checked_json(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code >= 400:
        try:
            problem = answer.json()
            words = f"{problem['title']}: {problem_words(problem)}"
        except (ValueError, KeyError):
            words = answer.text[:200]
        raise RequestRejected(f"the service answered {answer.status_code}: {words}")
    found: dict[str, Any] = answer.json()
    return found
