"""Log one JSON object a line to stderr, with the job's id on every line about a job, and without
secrets (``log_redaction``). A line within a span that is recorded names its trace.

The lines go to the process's original stderr: Ray Serve replaces ``sys.stderr`` and ``print`` with
objects that drop lines by Serve's own level and may buffer up to a thousand. Ray stores the output
with the rest of the process's (``worker-*.err``), and the dashboard shows it.
"""

from __future__ import annotations

import logging
import sys
import traceback

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, ExcInfo

from deployments.log_redaction import redact


def configure_logging(level: int = logging.INFO) -> None:
    """Configure structlog for this process; a second call changes only the level."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_format_exception),
            _add_trace,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.__stderr__ or sys.stderr),
        cache_logger_on_first_use=False,
    )


def _format_exception(exc_info: ExcInfo) -> str:
    """Without ``print``, by which structlog writes tracebacks: Ray Serve's writes tuples."""
    return "".join(traceback.format_exception(*exc_info)).removesuffix("\n")


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
    return event
