"""A ZIP file as the answer of a call, written while it is sent: it is whole nowhere."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import cast

from fastapi.responses import StreamingResponse
from starlette.types import Send

# The first and last year that a ZIP file can hold.
_YEARS = (1980, 2107)


class ZipResponse(StreamingResponse):
    """Streams bytes; the OpenAPI document says that they are a ZIP file."""

    media_type = "application/zip"

    async def stream_response(self, send: Send) -> None:
        # Closed when the client leaves, not when the garbage collector comes by.
        async with aclosing(cast("AsyncGenerator[bytes, None]", self.body_iterator)):
            await super().stream_response(send)


def zip_response(filename: str, content: AsyncGenerator[bytes, None]) -> ZipResponse:
    """Return ``content`` as an answer that a browser stores under ``filename``."""
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "no-store",
    }
    return ZipResponse(content, headers=headers)


class _Sink:
    """What ``zipfile`` writes to: a file that cannot seek, emptied after each write."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: ``take`` has everything."""

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


class ZipStream:
    """Writes a ZIP file piece by piece; sizes and checksums follow each file's content."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._archive = zipfile.ZipFile(self._sink, "w")  # type: ignore[call-overload]

    async def add(
        self, path: str, pieces: AsyncIterator[bytes], modified: datetime, *, compress: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes that a further file adds."""
        year = min(max(modified.year, _YEARS[0]), _YEARS[1])
        info = zipfile.ZipInfo(path, (year, *modified.timetuple()[1:6]))
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        # The size is not known yet: ZIP64 has room for any.
        with self._archive.open(info, "w", force_zip64=True) as entry:
            async for piece in pieces:
                entry.write(piece)
                if data := self._sink.take():
                    yield data
        yield self._sink.take()

    def end(self) -> bytes:
        """Return the directory, with which the file is complete."""
        self._archive.close()
        return self._sink.take()
