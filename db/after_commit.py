"""Call a function once a transaction has committed, as to count what it did.

Nothing is called after a rollback, so that what is repeated is counted once. Not covered: a commit
whose answer was lost is not counted, and what a savepoint undid alone is.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

_KEY = "after_commit"

log = structlog.get_logger(__name__)


def after_commit(session: AsyncSession, call: Callable[[], None]) -> None:
    """Have ``call`` called after the commit of the transaction that runs. Its errors are logged."""
    of = session.sync_session
    if _KEY not in of.info:
        of.info[_KEY] = []
        event.listen(of, "after_commit", _call_all)
        event.listen(of, "after_rollback", _forget_all)
    of.info[_KEY].append(call)


def _call_all(session: Session) -> None:
    if session.in_nested_transaction():  # the end of a savepoint commits nothing
        return
    calls: list[Callable[[], None]] = session.info[_KEY]
    session.info[_KEY] = []
    for call in calls:
        try:
            call()
        except Exception:  # it is committed: whoever asked must not hear that it failed
            log.exception("after_commit_failed")


def _forget_all(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info[_KEY] = []
