"""Log one JSON object a line to stderr, with the job's id on every line about a job.

The lines go to the process's original stderr: Ray Serve replaces ``sys.stderr`` and ``print`` with
objects that drop lines by Serve's own level and may buffer up to a thousand. Ray stores the output
with the rest of the process's (``worker-*.err``), and the dashboard shows it.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(level: int = logging.INFO) -> None:
    """Configure structlog for this process; a second call changes only the level."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.__stderr__ or sys.stderr),
        cache_logger_on_first_use=False,
    )
