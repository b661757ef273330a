"""``Cancel-After``: how long a job may take, waiting included, before it is canceled."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Header

from serve_app.http.errors import BadInput

LEAST, MOST = timedelta(seconds=5), timedelta(days=7)
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s?)?")


async def _read(
    cancel_after: Annotated[
        str | None,
        Header(
            alias="Cancel-After",
            max_length=32,
            description="Cancel the job after this time: `90`, `90s`, `5m`, `1h30m`; 5 s to 7 days."
            " A waiting job then costs nothing, a running one the finished part.",
        ),
    ] = None,
) -> timedelta | None:
    """Raises BadInput: the header is no such time."""
    if cancel_after is None:
        return None
    found = _DURATION.fullmatch(cancel_after)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    after = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not LEAST <= after <= MOST:
        words = "a time of 5s to 7 days, such as 90s, 5m or 1h30m"
        raise BadInput(
            words,
            errors=[{"loc": ["header", "Cancel-After"], "msg": words, "code": "out_of_range"}],
        )
    return after


CancelAfterDep = Annotated[timedelta | None, Depends(_read)]
