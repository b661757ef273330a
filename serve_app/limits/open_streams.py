"""How many event streams and waiting requests are open, and how many may be.

Each keeps a connection and some memory of this process for as long as a client likes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from billing import plans
from serve_app.http.errors import TooManyStreams, Unavailable

# A client that opens hundreds at once is refused for this long without asking a store who it is.
REFUSED_FOR_S = 1.0


class StreamGauge(Protocol):
    """The gauge that shows how many are open."""

    def set(self, value: float) -> None: ...


class OpenStreams:
    """Counts them for this process, in all and by user.

    Several ingress replicas count each for themselves, so that a user may have the plan's number
    at each of them: a shared count would outlive a replica that is killed, and its purpose is to
    protect a process.
    """

    def __init__(self, most: int, gauge: StreamGauge) -> None:
        self._most = most
        self._gauge = gauge
        self._open = 0
        self._by_user: Counter[str] = Counter()
        self._refused_until: dict[int, float] = {}

    def count(self, user_id: str) -> int:
        """Return how many the user has open in this process."""
        return self._by_user[user_id]

    def check_recent(self, credentials: str) -> None:
        """Raises TooManyStreams if these were refused just now, and none has ended since."""
        if self._refused_until.get(hash(credentials), 0.0) > time.monotonic():
            raise TooManyStreams

    def remember_refusal(self, credentials: str) -> None:
        now = time.monotonic()
        recent = {key: until for key, until in self._refused_until.items() if until > now}
        self._refused_until = {**recent, hash(credentials): now + REFUSED_FOR_S}

    @contextmanager
    def admit(self, user_id: str, plan: str) -> Iterator[None]:
        """Count one until the block ends, however it ends.

        Raises:
            Unavailable: this process has as many as it may have.
            TooManyStreams: the user has as many as the plan allows.
        """
        if self._open >= self._most:
            raise Unavailable("Too many event streams are open here; try again soon.")
        allowed = plans.max_streams(plan)
        if allowed is not None and self._by_user[user_id] >= allowed:
            raise TooManyStreams
        self._change(1)
        self._by_user[user_id] += 1
        try:
            yield
        finally:
            self._change(-1)
            self._refused_until.clear()
            self._by_user[user_id] -= 1
            if not self._by_user[user_id]:
                del self._by_user[user_id]

    def _change(self, by: int) -> None:
        self._open += by
        self._gauge.set(self._open)
