"""The JSON of jobs, kept as it was written: most jobs of a list have not changed since the last.

It is asked for by the version of the job's row (``db.jobs.versions``) and by the moment at which
its links began: whatever changes is written anew, and no link is given that would not have been
made now. The process keeps it for all users; who may see a job is decided before.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

MOST_BYTES = 8 << 20
MOST_BYTES_OF_ONE = 64 << 10
# It comes before all that a user has written, and no text of JSON has a bare quotation mark.
_UNKNOWN = b'"queue_position":null'


@dataclass(frozen=True)
class WrittenView:
    """A job as JSON, with a position in the queue that is unknown; ``message`` is its generator and
    its name in the queue, if it waits there."""

    job_id: str
    version: str
    links_since: datetime
    json: bytes
    message: tuple[str, str] | None

    def at(self, position: int | None) -> bytes:
        """Return the JSON with that position."""
        if position is None:
            return self.json
        return self.json.replace(_UNKNOWN, b'"queue_position":%d' % position, 1)


class KeptViews:
    """Up to ``most_bytes`` of JSON; those used longest ago are dropped."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, WrittenView] = OrderedDict()

    def get(self, job_id: str, version: str, links_since: datetime) -> WrittenView | None:
        """Return the view of that version with links of that age, if it is kept."""
        kept = self._kept.get(job_id)
        if kept is None or kept.version != version or kept.links_since != links_since:
            return None
        self._kept.move_to_end(job_id)
        return kept

    def keep(self, view: WrittenView) -> None:
        """Keep a view, in place of another of that job."""
        before = self._kept.pop(view.job_id, None)
        if before is not None:
            self._bytes -= len(before.json)
        if len(view.json) > MOST_BYTES_OF_ONE:
            return
        self._kept[view.job_id] = view
        self._bytes += len(view.json)
        while self._bytes > self._most_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped.json)
