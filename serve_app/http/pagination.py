"""Pages of lists: the client asks again with ``after`` set to ``next``."""

import json
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from pydantic import Field

from serve_app.http.schemas import View


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=View)
Row = TypeVar("Row", bound=_HasId)


class Page(View, Generic[Item]):
    """One page of a list, newest first."""

    data: list[Item]
    has_more: bool
    next: str | None = Field(description="Pass as `after` to get the next page.")


def paginate(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], bool, str | None]:
    """Split ``limit + 1`` rows into the page, whether there are more, and the next ``after``."""
    page_rows = rows[:limit]
    has_more = len(rows) > limit
    return page_rows, has_more, page_rows[-1].id if has_more else None


def page_of_json(items: Sequence[bytes], has_more: bool, following: str | None) -> bytes:
    """Return what a ``Page`` would write, of items that are JSON already."""
    rest = f'"has_more":{json.dumps(has_more)},"next":{json.dumps(following)}'
    return b'{"data":[' + b",".join(items) + b"]," + rest.encode() + b"}"
