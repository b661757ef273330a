"""The part of ``/status`` that tells of disturbances: those that last, and those of ten days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape

from db.operations.incidents import IncidentStory

SHOWN_FOR = timedelta(days=10)
MOST = 50


def in_html(stories: Sequence[IncidentStory], title_of: Callable[[str], str]) -> str:
    """Return the incidents as HTML: the open ones, then the past ones.

    ``title_of`` returns what users know a generator by.
    """
    now = [_story(one, title_of) for one in stories if one.incident.closed_at is None]
    past = [_story(one, title_of) for one in stories if one.incident.closed_at is not None]
    told = "\n".join(now) if now else "<p>None at the moment.</p>"
    before = "\n".join(past) if past else "<p>None.</p>"
    return f"<h2>Incidents</h2>\n{told}\n<h2>Past incidents of {SHOWN_FOR.days} days</h2>\n{before}"


def _story(story: IncidentStory, title_of: Callable[[str], str]) -> str:
    incident = story.incident
    whose = "" if incident.generator is None else f" ({escape(title_of(incident.generator))})"
    when = f"since {_moment(incident.opened_at)}"
    if incident.closed_at is not None:
        when = f"{_moment(incident.opened_at)} to {_moment(incident.closed_at)}"
    notes = "".join(
        f"<li>{_moment(note.created_at)}: {escape(note.text)}</li>" for note in story.notes
    )
    listed = f"\n<ul>{notes}</ul>" if notes else ""
    return f"<h3>{escape(incident.title)}{whose}</h3>\n<p>{when}</p>{listed}"


def _moment(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f'<time datetime="{utc:%Y-%m-%dT%H:%MZ}">{utc:%Y-%m-%d %H:%M} UTC</time>'
