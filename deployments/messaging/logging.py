"""One JSON object a line on stderr, with the job's id on every line that is about a job.

The process's own stderr, written to: Ray Serve puts stand-ins in the place of ``sys.stderr`` and
``print`` that drop lines by its own level and, in the fast mode, keep up to a thousand back. Ray
files ours beside the other output of the process (``worker-*.err``); the dashboard shows it.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(level: int = logging.INFO) -> None:
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
        logger_factory=structlog.WriteLoggerFactory(sys.__stderr__ or sys.stderr),
        cache_logger_on_first_use=False,
    )
