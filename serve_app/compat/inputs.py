"""Inputs of other services' models, as inputs of our generators."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.contract import GeneratorSpec
from deployments.references import Media

FORMATS = {"jpg": "jpeg"}


def translate_input(
    spec: GeneratorSpec[Any], given: Mapping[str, Any], names: Mapping[str, str], files_url: str
) -> dict[str, Any]:
    """Return ``given`` as the input of a generator.

    Fields have our names or those in ``names``; media are links, data URIs, or files that were
    uploaded and lie under ``files_url``.
    """
    fields = spec.request.model_fields
    result: dict[str, Any] = {}
    for name, value in given.items():
        ours = name if name in fields else names.get(name, name)
        if ours == "format" and isinstance(value, str):
            value = FORMATS.get(value, value)
        media = ours in fields and any(_media_types(fields[ours].annotation))
        result[ours] = media_input(value, files_url) if media else value
    return result


def media_input(value: Any, files_url: str) -> Any:
    """Return a link or data URI as inputs name one; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.startswith("data:"):
        return {"data": value}
    if value.startswith(files_url):
        return {"file_id": value.removeprefix(files_url)}
    return {"url": value}


def _media_types(annotation: Any) -> Iterator[type[Media]]:
    if isinstance(annotation, type) and issubclass(annotation, Media):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _media_types(part)
