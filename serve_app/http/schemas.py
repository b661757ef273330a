"""Base classes of bodies and answers: immutable, no unknown field, only text Postgres can store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

_LOST_PLUS = re.compile(r"(\d:\d\d(?:[.,]\d+)?) (\d\d:?\d\d)\Z", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
# Of what is told of one body.
MAX_FAULTS = 50
MAX_KEY_LENGTH = 100
# Of a body; no call takes as many.
MAX_KEYS = 64
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
    """Refuse a number: pydantic would take it for seconds, or for milliseconds if it is large.

    The ``+`` of an offset is a blank once a query is decoded, unless it was written ``%2B``.
    """
    if isinstance(value, str):
        value = _LOST_PLUS.sub(r"\1+\2", value)
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.match(value)):
        raise PydanticKnownError("datetime_parsing", {"error": "it begins with YYYY-MM-DD"})
    return value


def _in_future(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise PydanticCustomError("past", "must be in the future")
    return moment


def _is_day(value: Any) -> Any:
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise PydanticKnownError("date_parsing", {"error": "it is YYYY-MM-DD"})
    return value


# A number that is whole, and no text and no ``true``, which pydantic would make a number of.
Whole = Annotated[int, Strict()]
# A moment with an offset, as UTC. One further away than any moment that matters is moved nearer.
Instant = Annotated[AwareDatetime, BeforeValidator(_begins_with_day), AfterValidator(_in_utc)]
# One that has not come yet when the request is read.
FutureInstant = Annotated[Instant, AfterValidator(_in_future)]
Day = Annotated[date, BeforeValidator(_is_day)]


class Body(BaseModel):
    """Base of the request bodies."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MAX_KEYS:  # an error for each would be dear
            raise PydanticCustomError(
                "too_many_keys", "An object may have {most} keys", {"most": MAX_KEYS}
            )
        if is_storable(value):
            return value
        faults = islice(_find_unstorable(value), MAX_FAULTS)
        raise ValidationError.from_exception_data(
            cls.__name__, [{"type": fault, "loc": loc, "input": None} for loc, fault in faults]
        )


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
            if not _is_storable_text(item):
                return False
        elif isinstance(item, dict):
            todo += item.keys()
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    return True


def _find_unstorable(value: Any) -> Iterator[tuple[tuple[str | int, ...], PydanticCustomError]]:
    """Yield the place of every string that Postgres cannot store, and what is wrong with it.

    A key is told at the place of its object, since it cannot be part of a path.
    """
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while todo:
        loc, item = todo.pop()
        if isinstance(item, str):
            if not _is_storable_text(item):
                yield loc, _unstorable("Text", item)
        elif isinstance(item, dict):
            inside: list[tuple[tuple[str | int, ...], Any]] = []
            for key, child in item.items():
                if _is_storable_text(key):
                    inside.append(((*loc, key[:MAX_KEY_LENGTH]), child))
                else:
                    yield loc, _unstorable("A key", key)
            todo += reversed(inside)
        elif isinstance(item, list):
            todo += [((*loc, number), child) for number, child in enumerate(item)][::-1]


def _unstorable(what: str, text: str) -> PydanticCustomError:
    found = _UNSTORABLE.search(text)
    assert found is not None
    wrong = "NUL" if found[0] == "\0" else "half a surrogate pair"
    return PydanticCustomError(
        "unstorable_text",
        "{what} may not contain NUL or half a surrogate pair: character {number} is {wrong}",
        {"what": what, "number": found.start() + 1, "wrong": wrong},
    )


def _is_storable_text(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
