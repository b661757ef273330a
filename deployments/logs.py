"""One JSON object a line on stderr, with the job's id on every line that is about a job.

The process's own stderr: Ray Serve puts a stand-in in its place that drops lines by its own level
and keeps the rest back, up to a thousand lines, in the fast mode. Ray files ours beside the other
output of the process (``worker-*.err``), where the dashboard shows it.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(level: int = logging.INFO) -> None:
    """Set structlog up for this process; calling it again changes nothing but the level."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.__stderr__ or sys.stderr),
        cache_logger_on_first_use=False,
    )
