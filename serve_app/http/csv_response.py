"""A CSV file as the answer of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse


class CSVResponse(StreamingResponse):
    """Streams text; the OpenAPI document says that it is CSV."""

    media_type = "text/csv"


def csv_response(filename: str, rows: AsyncIterator[str]) -> CSVResponse:
    """Return ``rows`` as an answer that a browser stores under ``filename``."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return CSVResponse(rows, headers=headers)
