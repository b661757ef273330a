"""``GET /v1/jobs?metadata.project=x``: the jobs whose metadata have these values."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import Field, StringConstraints

from serve_app.http.problems import validated
from serve_app.http.schemas import Body
from serve_app.jobs.schemas import METADATA_BYTES, METADATA_KEYS, Scalar

PREFIX = "metadata."
_NAME = r"^metadata\.(?s:.{1,64})$"


class _Filters(Body):
    """The parameters of a query that begin with ``metadata.``."""

    query: Annotated[
        dict[
            Annotated[str, StringConstraints(pattern=_NAME)],
            Annotated[str, StringConstraints(max_length=METADATA_BYTES)],
        ],
        Field(max_length=METADATA_KEYS),
    ]


# OpenAPI has no parameter of any name. It has one that is an object, whose members are written
# as parameters of their own.
METADATA_FILTERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "required": False,
            "style": "form",
            "explode": True,
            "description": "`metadata.project=x`: only jobs whose metadata have `x` as `project`."
            " A number, `true`, `false` and `null` are meant as well as the text. Of several, all"
            " hold.",
            "schema": {
                "type": "object",
                "maxProperties": METADATA_KEYS,
                "propertyNames": {"pattern": r"^metadata\.[^\u0000]{1,64}$"},
                "additionalProperties": {"type": "string", "maxLength": METADATA_BYTES},
            },
        }
    ]
}


async def _metadata_filter(request: Request) -> tuple[tuple[str, tuple[Scalar, ...]], ...]:
    """Dependency: the keys that are asked for, each with the values of which it has one."""
    given = {name: value for name, value in request.query_params.items() if name.startswith(PREFIX)}
    if not given:
        return ()
    found = validated(_Filters, {"query": given}).query
    return tuple((name.removeprefix(PREFIX), _readings(value)) for name, value in found.items())


MetadataFilterDep = Annotated[tuple[tuple[str, tuple[Scalar, ...]], ...], Depends(_metadata_filter)]


def _readings(value: str) -> tuple[Scalar, ...]:
    """Return what the text of a query may stand for: itself, and the scalar that it is in JSON."""
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):  # or nested deeper than any scalar
        return (value,)
    if isinstance(read, (str, list, dict)) or (isinstance(read, float) and not math.isfinite(read)):
        return (value,)
    return value, read
