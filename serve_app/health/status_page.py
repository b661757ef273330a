"""``/status``: which generators take jobs now, about how long one takes, and what is disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from db.jobs import queue_states
from db.jobs.queue_states import RUNNING, QueueStatus
from db.operations import incidents
from db.operations.incidents import IncidentStory
from db.redis.queue import QueueCounts
from deployments.contract import GeneratorSpec
from serve_app.generators.routes import TIMEOUT_S, estimate_seconds, queue_counts
from serve_app.health.incidents import MOST, SHOWN_FOR, in_html
from serve_app.http.dependencies import ClientsDep
from serve_app.http.page import page
from serve_app.resources import Clients

router = APIRouter(include_in_schema=False)
log = structlog.get_logger()

_PAGE = """<h1>Atelier: status</h1>
<p>{summary}</p>
<table>
<tr><th>generator</th><th>now</th><th>jobs that wait</th><th>a new job takes</th></tr>
{rows}
</table>
{incidents}"""


@router.get("/status", response_class=HTMLResponse)
async def status_page(clients: ClientsDep) -> HTMLResponse:
    """Each generator: whether it takes jobs, how many wait, and about how long one takes; and the
    incidents that operators tell of."""
    specs = list(clients.catalog.values())
    told, replicas = await asyncio.gather(_told(clients), clients.replicas())
    states, stories = told or (None, None)
    counted = await asyncio.gather(*(queue_counts(clients.queues[spec.name]) for spec in specs))
    rows = [
        _row(spec, (states or {}).get(spec.name, RUNNING), counts, replicas)
        for spec, counts in zip(specs, counted, strict=True)
    ]
    if states is None:
        summary = "Jobs cannot be accepted at the moment. Those that were accepted are kept."
    elif None in counted:
        summary = "Jobs are accepted, and begin later than usual."
    else:
        summary = "Jobs are accepted."
    titles = {spec.name: spec.title for spec in specs}
    shown = "" if stories is None else in_html(stories, lambda name: titles.get(name, name))
    body = _PAGE.format(summary=summary, rows="\n".join(rows), incidents=shown)
    return page("Atelier: status", body)


async def _told(
    clients: Clients,
) -> tuple[Mapping[str, QueueStatus], Sequence[IncidentStory]] | None:
    """The queues that operators have paused or are draining, and the incidents; None if Postgres
    does not answer."""
    try:
        async with asyncio.timeout(TIMEOUT_S), clients.sessions() as session:
            states = await queue_states.get_all(session)
            return states, await incidents.newest(session, MOST, SHOWN_FOR)
    except Exception as error:
        log.warning("status_without_postgres", error=type(error).__name__)
        return None


def _row(
    spec: GeneratorSpec[Any],
    state: QueueStatus,
    counts: QueueCounts | None,
    replicas: Mapping[str, int] | None,
) -> str:
    if state.draining:
        now = "takes no new jobs"
    elif state.paused:
        now = "paused: jobs wait"
    else:
        now = "available"
    waiting = "not known" if counts is None else str(counts.waiting)
    held_back = state.draining or state.paused
    running = None if replicas is None else replicas.get(spec.name)
    wait = (
        "not known"
        if counts is None or held_back
        else _in_words(estimate_seconds(spec, counts, running or 1))
    )
    cells = (spec.title, now, waiting, wait)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _in_words(seconds: float) -> str:
    """About how long, in the largest unit that fits."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {max(1, round(seconds))} seconds"
