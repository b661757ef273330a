"""Retries with stamina, with our own log line for each one.

stamina's own hook would log ``repr(error)``: SQLAlchemy's errors show the statement's parameters
there, which are the users' data.
"""

from __future__ import annotations

import structlog
from stamina import retry_context
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

__all__ = ["retry_context"]

log = structlog.get_logger(__name__)


def _log_retry(details: RetryDetails) -> None:
    log.warning(
        "retry",
        error=type(details.caused_by).__name__,
        retry_number=details.retry_num,
        again_in_s=round(details.wait_for, 3),
    )


set_on_retry_hooks([_log_retry])
