"""The five package names are generic: a foreign one in site-packages must never win."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400


@pytest.mark.parametrize("name", ["serve_app", "deployments", "models", "billing", "db"])
def test_package_is_this_repositorys_own(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == ROOT / name


def test_no_generator_imports_another() -> None:
    folders = [path.parent for path in (ROOT / "deployments").glob("*/spec.py")]
    assert len(folders) > 1
    for folder in folders:
        others = "|".join(other.name for other in folders if other != folder)
        foreign = re.compile(rf"(?:from|import) deployments(?:\.| import )(?:{others})\b")
        assert [path for path in folder.rglob("*.py") if foreign.search(path.read_text())] == []


def test_nothing_but_tests_and_benchmarks_needs_the_tests() -> None:
    """An installation has none: neither imports nor names of modules to run may lead there."""
    folders = ["serve_app", "deployments", "models", "billing", "db", "scripts"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    needed = re.compile(r"""(?:from|import|["'])\s*tests\.\w""")
    assert [path for path in files if needed.search(path.read_text())] == []


def test_no_source_file_is_longer_than_a_reader_wants() -> None:
    folders = ["serve_app", "deployments", "models", "billing", "db", "scripts", "tests"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    long = {str(p): n for p in files if (n := len(p.read_text().splitlines())) > LONGEST}
    assert not long
