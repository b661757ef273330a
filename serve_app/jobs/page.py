"""A page of a user's jobs as JSON: only what has changed since it was written is read anew."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from db.jobs import versions
from db.jobs.versions import WantedPage
from serve_app.http.pagination import page_of_json, paginate
from serve_app.jobs.kept_views import WrittenView
from serve_app.jobs.view import job_view_at, links_since, queue_positions, waiting_message
from serve_app.resources import Clients


async def page_of_jobs(clients: Clients, user_id: str, after: str | None, limit: int) -> bytes:
    """Return what ``Page[JobView]`` would write of the user's jobs, newest first.

    The list may be a few seconds old.
    """
    listed = await clients.find_page(WantedPage(user_id, after, limit + 1))
    jobs, has_more, following = paginate(listed, limit)
    since = links_since(clients)
    views = {job.id: clients.kept_views.get(job.id, job.version, since) for job in jobs}
    missing = [job_id for job_id, view in views.items() if view is None]
    if missing:
        views |= await _written(clients, user_id, missing, since)
    # One that was erased since it was listed has none.
    there = [view for view in views.values() if view is not None]
    positions = await queue_positions(
        clients, {view.job_id: view.message for view in there if view.message is not None}
    )
    items = [view.at(positions.get(view.job_id)) for view in there]
    return page_of_json(items, has_more, following)


async def _written(
    clients: Clients, user_id: str, ids: Collection[str], since: datetime
) -> dict[str, WrittenView]:
    rows = await clients.read_sessions(lambda session: versions.load(session, user_id, ids))
    found = {}
    for job, version in rows:
        text = job_view_at(clients, job, None, since).model_dump_json().encode()
        view = WrittenView(job.id, version, since, text, waiting_message(clients, job))
        clients.kept_views.keep(view)
        found[job.id] = view
    return found
