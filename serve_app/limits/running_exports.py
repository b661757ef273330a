"""Whose exports are under way in this process: one at a time a user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.http.errors import ExportRunning


class RunningExports:
    """The users whose export is under way.

    Each ingress replica knows its own, as it does of ``OpenStreams``: the purpose is to protect
    a process.
    """

    def __init__(self) -> None:
        self._user_ids: set[str] = set()

    @contextmanager
    def admit(self, user_id: str) -> Iterator[None]:
        """Count the user's export until the block ends, however it ends.

        Raises:
            ExportRunning: there is one already.
        """
        if user_id in self._user_ids:
            raise ExportRunning
        self._user_ids.add(user_id)
        try:
            yield
        finally:
            self._user_ids.discard(user_id)
