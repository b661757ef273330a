"""Ray with the application on it, kept from one test to the next."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from tests.support.application import Application, running


class Rays:
    """One Ray at a time, as a process can have no more; kept for as long as the next tests ask for
    one of the same kind."""

    def __init__(self, stores: Mapping[str, str]) -> None:
        self._stores = stores
        self._stack = ExitStack()
        self._kind: tuple[object, ...] | None = None
        self._running: Application | None = None

    def get(
        self,
        more: Mapping[str, str],
        num_gpus: int | None = None,
        grows_to: Mapping[str, int] | None = None,
    ) -> Application:
        """A Ray whose processes have ``more`` in their environment; nothing is deployed on it, or
        what an earlier test left."""
        kind = (dict(more), num_gpus, grows_to)
        if self._running is None or self._kind != kind:
            self.stop()
            self._kind = kind
            environment = {**self._stores, **more}
            started = running(environment, num_gpus, deployed=False, grows_to=grows_to)
            self._running = self._stack.enter_context(started)
        return self._running

    def stop(self) -> None:
        self._running = None
        self._stack.close()
