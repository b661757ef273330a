"""The weights that profiles use, each written once: the files of the folder ``catalog``.

A profile names a model of the catalog by its key. What the profile's own ``models`` say of that key
is laid over the catalog's entry, such as another quantization; an entry with a ``loader`` of its
own stands alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent / "catalog"

Entry = dict[str, Any]


@cache
def catalog() -> dict[str, Entry]:
    """The catalog's entries by key."""
    entries: dict[str, Entry] = {}
    for file in sorted(_FOLDER.glob("*.yaml")):
        entries |= yaml.safe_load(file.read_text())
    return entries


def take_from_catalog(profile: Mapping[str, Any]) -> dict[str, Entry]:
    """The models that ``profile``, as its file states it, uses: those it names and what these need.

    A model brings the model that it adapts, and the entries that replace one of its components or
    are fused into one: they are its ``loaded_with``. Keys that nobody knows are left out.
    """
    own: dict[str, Entry] = profile.get("models") or {}
    models: dict[str, Entry] = {}
    waiting = [*_named_by_capabilities(profile), *own]
    while waiting:
        key = waiting.pop(0)
        entry = _entry(key, own)
        if entry is None or key in models:
            continue
        if not isinstance(entry, Mapping):  # no entry at all: for the validation to refuse
            models[key] = entry
            continue
        models[key] = {"name": key, **entry}
        source = own if _stands_alone(key, own) else {**catalog(), **own}
        needed = [other for other in source if _is_loaded_with(source[other], key)]
        needed += [entry["adapter_of"]] if entry.get("adapter_of") else []
        waiting = needed + waiting
    for key, entry in models.items():
        if loaded_with := [other for other in models.values() if _is_loaded_with(other, key)]:
            entry["loaded_with"] = loaded_with
    return models


def _named_by_capabilities(profile: Mapping[str, Any]) -> Iterator[str]:
    capabilities = profile.get("capabilities")
    for use in capabilities.values() if isinstance(capabilities, Mapping) else ():
        if isinstance(use, Mapping):
            yield from filter(None, (use.get("model"), *(use.get("parts") or {}).values()))


def _entry(key: str, own: Mapping[str, Entry]) -> Entry | None:
    said = own.get(key)
    if _stands_alone(key, own) or (said is not None and not isinstance(said, Mapping)):
        return said
    if key not in catalog():
        return said
    return {**catalog()[key], **(said or {})}


def _stands_alone(key: str, own: Mapping[str, Entry]) -> bool:
    return isinstance(own.get(key), Mapping) and "loader" in own[key]


def _is_loaded_with(entry: Any, base: str) -> bool:
    """Whether ``entry`` becomes part of the model ``base`` when that is loaded."""
    becomes_part = isinstance(entry, Mapping) and (entry.get("replaces") or entry.get("fused_into"))
    return bool(becomes_part) and entry.get("adapter_of") == base
