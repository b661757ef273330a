"""Find connections of the pool that died while nobody used them, without asking the server.

A server that ended has closed its side: the socket of an idle connection is then readable, as it is
if the server sent anything unasked. Looking costs microseconds, where a ping costs a round trip
before every transaction. What no socket tells (a network that swallows packets) a ping finds, for
connections that were idle for longer than ``PING_AFTER_S``.
"""

from __future__ import annotations

import select
import time
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine

PING_AFTER_S = 5.0
_RETURNED_AT = "atelier.returned_at"


def check_connections(engine: AsyncEngine) -> None:
    """Have each connection checked before it is used again; a dead one, and all that are as old,
    are replaced."""
    dialect = engine.sync_engine.dialect

    def remember(_connection: Any, record: Any) -> None:
        record.info[_RETURNED_AT] = time.monotonic()

    def check(connection: Any, record: Any, _proxy: Any) -> None:
        returned_at = record.info.get(_RETURNED_AT)
        if returned_at is None:  # it was opened for this use
            return
        try:
            idle_s = time.monotonic() - returned_at
            if idle_s > PING_AFTER_S or _is_readable(record.driver_connection):
                dialect.do_ping(connection)
        except (dialect.loaded_dbapi.Error, OSError) as error:
            raise exc.InvalidatePoolError() from error

    event.listen(engine.sync_engine, "checkin", remember)
    event.listen(engine.sync_engine, "checkout", check)


def _is_readable(connection: Any) -> bool:
    """Return whether there is something to read, or the end; raises the driver's error if the
    connection is closed already."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
