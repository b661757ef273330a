"""Count what the connections of a pool exchange with Postgres."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine


@contextmanager
def counted_round_trips(engine: AsyncEngine) -> Iterator[Callable[[], int]]:
    """Yields a function that returns the round trips until now, BEGIN and COMMIT among them.

    They are read from libpq's own trace of the wire: Postgres ends each answer with ReadyForQuery.
    Connections that are in use when it begins are not counted.
    """
    with tempfile.NamedTemporaryFile() as wire:

        def trace(connection: Any, *_: Any) -> None:
            connection.driver_connection.pgconn.trace(wire.fileno())

        def untrace(connection: Any, *_: Any) -> None:
            if connection is not None:  # it was lost
                connection.driver_connection.pgconn.untrace()

        def count() -> int:
            return Path(wire.name).read_text(errors="replace").count("ReadyForQuery")

        event.listen(engine.sync_engine, "checkout", trace)
        event.listen(engine.sync_engine, "checkin", untrace)
        try:
            yield count
        finally:
            event.remove(engine.sync_engine, "checkout", trace)
            event.remove(engine.sync_engine, "checkin", untrace)
