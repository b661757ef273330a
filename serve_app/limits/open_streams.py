"""How many event streams and waiting requests are open, and how many may be.

Each keeps a connection and some memory of this process for as long as a client likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from billing import plans
from serve_app.http.errors import TooManyStreams, Unavailable


class OpenStreams:
    """Counts them for this process, in all and by user.

    Several ingress replicas count each for themselves, so that a user may have the plan's number
    at each of them: a shared count would outlive a replica that is killed, and its purpose is to
    protect a process.
    """

    def __init__(self, most: int, gauge: Gauge) -> None:
        self._most = most
        self._gauge = gauge
        self._open = 0
        self._by_user: Counter[str] = Counter()

    def count(self, user_id: str) -> int:
        """Return how many the user has open in this process."""
        return self._by_user[user_id]

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
            self._by_user[user_id] -= 1
            if not self._by_user[user_id]:
                del self._by_user[user_id]

    def _change(self, by: int) -> None:
        self._open += by
        self._gauge.set(self._open)
