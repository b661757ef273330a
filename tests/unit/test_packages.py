"""The package names are generic: a foreign one in site-packages must never win."""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400


PACKAGES = [
    "serve_app", "deployments", "models", "billing", "db", "atelier_admin", "atelier_client",
]  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_this_repositorys_own(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == ROOT / name


OWN = [*PACKAGES, "scripts"]
# Run by hand, by whoever adds a font.
BY_HAND = {"fontTools"}
# In an environment of its own (benchmarks.peers.bentoml_environment).
APART = ["bentoml"]


def test_every_package_that_is_imported_is_declared() -> None:
    """So that none comes, or goes, with another package's next version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime = [*project["dependencies"], *(d for n in extras if n != "dev" for d in extras[n])]
    assert undeclared(OWN, runtime) == BY_HAND
    assert undeclared(["tests", "benchmarks"], [*runtime, *extras["dev"], *APART]) == set()


def undeclared(folders: list[str], declared: list[str]) -> set[str]:
    names = {distribution(re.split(r"[\[<>=~!; ]", entry)[0]) for entry in declared}
    installed = packages_distributions()
    known = {*sys.stdlib_module_names, *OWN, "tests", "benchmarks"}
    found = {name for folder in folders for name in imported(ROOT / folder)} - known
    return {
        name for name in found if not names & {distribution(d) for d in installed.get(name, [name])}
    }


def distribution(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield str(node.module).split(".")[0]


def test_no_generator_imports_another() -> None:
    folders = [path.parent for path in (ROOT / "deployments" / "generators").glob("*/spec.py")]
    assert len(folders) > 1
    for folder in folders:
        others = "|".join(other.name for other in folders if other != folder)
        foreign = re.compile(
            rf"(?:from|import) deployments\.generators(?:\.| import )(?:{others})\b"
        )
        assert [path for path in folder.rglob("*.py") if foreign.search(path.read_text())] == []


def test_nothing_but_tests_and_benchmarks_needs_the_tests() -> None:
    """An installation has none: neither imports nor names of modules to run may lead there."""
    files = [path for folder in OWN for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    needed = re.compile(r"""(?:from|import|["'])\s*tests\.\w""")
    assert [path for path in files if needed.search(path.read_text())] == []


def test_no_source_file_is_longer_than_a_reader_wants() -> None:
    files = [path for folder in [*OWN, "tests"] for path in (ROOT / folder).rglob("*.py")]
    long = {str(p): n for p in files if (n := len(p.read_text().splitlines())) > LONGEST}
    assert not long
