"""Which generators this installation serves: the specs of the listed modules, by name.

Reading the catalogue imports ``spec.py`` files only; what makes pictures is imported in a replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from deployments.contract import Generator, GeneratorSpec

RESERVED_NAMES = frozenset({"ingress", "keeper"})


class CatalogError(Exception):
    """The list of generators cannot be served as it stands; the application does not start."""


def load_spec(module: str) -> GeneratorSpec[Any]:
    """``SPEC`` of ``<module>.spec``, such as ``deployments.generators.image``.

    Raises:
        CatalogError: there is no such module, or it holds no spec.
    """
    if not all(part.isidentifier() for part in module.split(".")):
        raise CatalogError(f"{module!r} is not the name of a module")
    name = f"{module}.spec"
    try:
        found = getattr(import_module(name), "SPEC", None)
    except ModuleNotFoundError as error:
        # A dependency missing inside the spec is another fault, and its own message says it best.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise CatalogError(f"there is no generator {module}: {error}") from error
    if not isinstance(found, GeneratorSpec):
        raise CatalogError(f"{name} has no SPEC")
    return found


def load_catalog(modules: Sequence[str]) -> dict[str, GeneratorSpec[Any]]:
    """The specs of ``modules`` in their order, by generator name.

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
    """The generator behind ``spec``, not loaded yet. Imports torch and friends: in a thread."""
    module, _, name = spec.entry.partition(":")
    return cast("Generator[Any]", getattr(import_module(module), name)())
