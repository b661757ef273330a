"""Base classes of bodies and answers: immutable, no unknown field, only text Postgres can store."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


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
