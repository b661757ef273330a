"""The key of a result: another version of what makes it is another key."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import models
from deployments import generators
from deployments.result_key import LIBRARIES

# They carry numbers, texts and files, and make nothing of them.
CARRIERS = {
    "httpx2", "huggingface-hub", "opentelemetry-api", "psutil", "pydantic", "pydantic-core",
    "pyyaml",
}  # fmt: skip


def imported(folder: Path) -> Iterator[str]:
    """The top modules that the code of a folder imports."""
    for file in folder.rglob("*.py"):
        if "training" in file.parts:  # makes the weights of the tests
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_each_library_that_makes_something_is_part_of_the_key() -> None:
    folders = (Path(models.__file__).parent, Path(generators.__file__).parent)
    modules = {name for folder in folders for name in imported(folder)} - sys.stdlib_module_names
    owners = metadata.packages_distributions()
    used = {
        min(map(normalized, owners[name])) for name in modules if name in owners
    }  # of several the plainest: opentelemetry-api
    assert "torch" in used
    assert used - CARRIERS <= set(LIBRARIES)


def test_each_library_is_installed() -> None:
    """A name that is misspelt would have no version, ever."""
    for library in LIBRARIES:
        assert metadata.version(library)
