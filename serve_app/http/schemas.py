"""Base classes of bodies and answers: immutable, no unknown field, only text Postgres can store."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# A day from either end of what a datetime can hold: in every time zone of a session it has a year
# of four digits, so that Postgres, which can hold more, gives back what it was given.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    try:
        moment = value.astimezone(UTC)
    except OverflowError:  # the offset leads out of the years 1 to 9999
        moment = EARLIEST if value.year == 1 else LATEST
    return min(max(moment, EARLIEST), LATEST)


def _begins_with_day(value: Any) -> Any:
    """Refuse a number: pydantic would take it for seconds, or for milliseconds if it is large."""
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.match(value)):
        raise PydanticKnownError("datetime_parsing", {"error": "it begins with YYYY-MM-DD"})
    return value


def _is_day(value: Any) -> Any:
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise PydanticKnownError("date_parsing", {"error": "it is YYYY-MM-DD"})
    return value


# A number that is whole, and no text and no ``true``, which pydantic would make a number of.
Whole = Annotated[int, Strict()]
# A moment with an offset, as UTC. One further away than any moment that matters is moved nearer.
Instant = Annotated[AwareDatetime, BeforeValidator(_begins_with_day), AfterValidator(_in_utc)]
Day = Annotated[date, BeforeValidator(_is_day)]


class Body(BaseModel):
    """Base of the request bodies."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if not is_storable(value):
            raise PydanticCustomError(
                "unstorable_text", "Text may not contain NUL or half a surrogate pair"
            )
        return value


class View(BaseModel):
    """Base of the answers."""

    model_config = ConfigDict(frozen=True)


def is_storable(value: Any) -> bool:
    """Return whether Postgres can store every string in this JSON value.

    Walks without recursion, since the client chooses the depth.
    """
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            if "\0" in item or not _encodable(item):
                return False
        elif isinstance(item, dict):
            todo += item.keys()
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    return True


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
