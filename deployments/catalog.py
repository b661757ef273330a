"""The catalogue of the generators that this installation serves: their specs by name.

Reading it imports the ``spec.py`` files only; a replica imports the generator itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from deployments.contract import Generator, GeneratorSpec

RESERVED_NAMES = frozenset({"ingress", "keeper"})


class CatalogError(Exception):
    """The list of generators is not valid; the application does not start."""


def load_spec(module: str) -> GeneratorSpec[Any]:
    """Read ``SPEC`` of ``<module>.spec``; a module is named like ``deployments.generators.image``.

    Raises:
        CatalogError: there is no such module, or it holds no spec.
    """
    if not all(part.isidentifier() for part in module.split(".")):
        raise CatalogError(f"{module!r} is not the name of a module")
    name = f"{module}.spec"
    try:
        spec = getattr(import_module(name), "SPEC", None)
    except ModuleNotFoundError as error:
        # A missing import inside the spec is another fault: its own message is the clearest.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise CatalogError(f"there is no generator {module}: {error}") from error
    if not isinstance(spec, GeneratorSpec):
        raise CatalogError(f"{name} has no SPEC")
    return spec


def load_catalog(modules: Sequence[str]) -> dict[str, GeneratorSpec[Any]]:
    """Read the specs of ``modules``, in their order, by generator name.

    Raises:
        CatalogError: a module is not a generator, or two deployments would share a name.
    """
    catalog: dict[str, GeneratorSpec[Any]] = {}
    for module in modules:
        spec = load_spec(module)
        if spec.name in RESERVED_NAMES:
            raise CatalogError(f"{module} may not be named {spec.name}, as another deployment is")
        if spec.name in catalog:
            raise CatalogError(f"two generators are named {spec.name}; the second is {module}")
        catalog[spec.name] = spec
    return catalog


def new_generator(spec: GeneratorSpec[Any]) -> Generator[Any]:
    """Create the generator of ``spec``, not loaded. Imports torch: call it in a thread."""
    module, _, name = spec.entry.partition(":")
    return cast("Generator[Any]", getattr(import_module(module), name)())


def example_input(spec: GeneratorSpec[Any]) -> dict[str, Any] | None:
    """Read the input that the generator ships as its example, ``None`` if it ships none.

    Its files, named as ``"@photo.png"``, become URLs where a file of that name could be.
    """
    found = find_spec(spec.entry.partition(":")[0])
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "example" / "input.json"
    if not path.exists():
        return None
    example: dict[str, Any] = _with_urls(json.loads(path.read_text(encoding="utf-8")))
    return example


def _with_urls(value: Any) -> Any:
    match value:
        case str() if value.startswith("@"):
            return {"url": f"https://example.com/{value[1:]}"}
        case list():
            return [_with_urls(item) for item in value]
        case dict():
            return {name: _with_urls(item) for name, item in value.items()}
    return value
