"""OpenTelemetry traces: one trace of a job, from its submit over the queue to its webhooks.

Nothing is recorded unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` says where spans go, or the variable for
traces alone, ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``; the other ``OTEL_`` variables of the SDK work
as its documentation says. FastAPI makes the spans of requests. A job's row keeps the
``traceparent`` of the request that submitted it, since an attempt begins minutes later in another
process.

Names follow the semantic conventions of OpenTelemetry, those of generative AI included, as far as
they have one; our own begin with ``atelier.``. No span has a prompt, an input, a query string or a
link in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Attributes = Mapping[str, str | bool | int | float]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROPAGATOR = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("atelier")


def configure_tracing(component: str) -> None:
    """Export the spans of this process, if the environment says where to.

    ``component`` is the process' part in the service: ``ingress``, ``keeper``, a generator's name.
    A second call changes nothing.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS) or _is_configured():
        return
    # Imported here: most installations send no spans, and each process would pay for the SDK.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({SERVICE_NAMESPACE: "atelier", SERVICE_NAME: f"atelier-{component}"})
    provider = TracerProvider(resource=resource)

    class WithoutQueries(SpanProcessor):
        """Takes query strings off the spans of requests: there are tokens in them."""

        def on_start(self, span: Any, parent_context: Context | None = None) -> None:
            if (span.attributes or {}).get("url.query"):
                span.set_attribute("url.query", "REDACTED")

    provider.add_span_processor(WithoutQueries())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def _is_configured() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def current_traceparent() -> str | None:
    """Return the W3C ``traceparent`` of the span at work; None if no span is recorded."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def span(
    name: str,
    traceparent: str | None = None,
    attributes: Attributes | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """Record a span around the block, below ``traceparent`` or else below the span at work.

    An exception marks it as failed by the exception's class; its text may hold words of a user.
    """
    with _TRACER.start_as_current_span(
        name,
        _parent(traceparent),
        kind,
        attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        try:
            yield started
        except Exception as error:
            mark_failed(started, type(error).__name__)
            raise


def mark_failed(failed: Span, code: str) -> None:
    """Mark a span as failed; ``code`` is of a closed set: an error code, or a class."""
    failed.set_status(StatusCode.ERROR)
    failed.set_attribute("error.type", code)


def record(
    name: str,
    start: datetime | float,
    end: datetime | float | None = None,
    traceparent: str | None = None,
    attributes: Attributes | None = None,
) -> None:
    """Record a span that is over. Times are aware, or seconds since the epoch; None is now."""
    over = _TRACER.start_span(
        name, _parent(traceparent), attributes=attributes, start_time=_nanoseconds(start)
    )
    over.end(_nanoseconds(time.time() if end is None else end))


def record_stages(stages: Sequence[Mapping[str, Any]]) -> None:
    """Record the stages of an attempt (``deployments.contract.Notes``) below the span at work."""
    for stage in stages:
        start = datetime.fromisoformat(stage["started_at"]).timestamp()
        record(stage["name"], start, start + stage["seconds"])


def _parent(traceparent: str | None) -> Context | None:
    return None if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent})


def _nanoseconds(at: datetime | float) -> int:
    seconds = at.timestamp() if isinstance(at, datetime) else at
    return int(seconds * 1e9)
