"""The check for public names that nothing uses: what it finds, and what it leaves alone."""

from pathlib import Path

import pytest

from scripts.lint.unused import main, unused


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree in which everything is used; the check has to find what a test adds."""
    monkeypatch.setattr("scripts.lint.unused.EXCEPTIONS", {"*.check_health": "Ray calls it"})
    for package in ("serve_app", "deployments", "models", "billing", "db", "scripts", "benchmarks"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "tests").mkdir()
    write(
        tmp_path / "deployments" / "worker.py",
        """
        class Worker:
            def check_health(self): ...
        """,
    )
    write(tmp_path / "serve_config.yaml", "import_path: deployments.worker:Worker")
    return tmp_path


def write(path: Path, text: str) -> None:
    lines = text.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    path.write_text("\n".join(line[indent:] for line in lines) + "\n")


def names(root: Path) -> list[str]:
    return [definition.name for definition in unused(root) if "check_health" not in definition.name]


def test_a_clean_tree_passes(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(planted)]) == 0
    assert capsys.readouterr().out == ""


def test_what_nothing_uses_is_printed_with_its_place(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(planted / "models" / "ghost.py", "import os\n\n\ndef ghost(): ...")
    assert main([str(planted)]) == 1
    assert capsys.readouterr().out == "models/ghost.py:4 ghost\n"


def test_an_exception_that_nothing_needs_is_an_error(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(planted / "deployments" / "worker.py", "class Worker: ...")
    assert main([str(planted)]) == 1
    assert "*.check_health" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(): ...", ["f"]),
        ("async def f(): ...", ["f"]),
        ("class C: ...", ["C"]),
        ("LIMIT: int = 3", ["LIMIT"]),
        ("A, B = 1, 2\nprint(B)", ["A"]),
        ("def f(): return f()", ["f"]),  # only by itself
        ("__all__ = ['f']\ndef f(): ...", ["f"]),
        ("class C:\n    def m(self): ...\nC()", ["C.m"]),
        ("class C:\n    @property\n    def m(self): ...\nC()", ["C.m"]),
        ("class C:\n    def m(self): ...\nC().m()", []),
        ("class C:\n    field = 1\nC()", []),
        ("class C:\n    @classmethod\n    def of(cls): ...\nC()\nopen().of()", ["C.of"]),
        ("class C:\n    @classmethod\n    def of(cls): ...\nclass D(C): ...\nD.of()", []),
        ("def _f(): ...\nclass _C:\n    def m(self): ...", []),
        ("@app.get('/')\ndef f(): ...", []),
        ("@cache\ndef f(): ...", ["f"]),
        ("class C:\n    def m(self): ...\nprint(getattr(C(), 'm'))", []),
    ],
)
def test_definitions_of_every_kind(planted: Path, source: str, expected: list[str]) -> None:
    write(planted / "db" / "rows.py", source)
    assert names(planted) == expected


def test_the_tests_use_nothing(planted: Path) -> None:
    write(planted / "billing" / "prices.py", "def total(): ...")
    write(planted / "tests" / "test_prices.py", "from billing.prices import total\ntotal()")
    assert names(planted) == ["total"]
    write(planted / "scripts" / "quote.py", "from billing.prices import total\ntotal()")
    assert names(planted) == []


def test_functions_of_one_name_are_told_apart_by_their_modules(planted: Path) -> None:
    for name in ("one", "two"):
        write(planted / "models" / f"{name}.py", "def load(): ...")
    use = "import numpy as np\nfrom models import one\n\none.load()\nnp.load()\nopen().load()"
    write(planted / "scripts" / "show.py", use)
    assert [d.path.name for d in unused(planted) if d.name == "load"] == ["two.py"]


def test_a_name_is_followed_through_a_package_that_hands_it_on(planted: Path) -> None:
    (planted / "models" / "engine").mkdir()
    write(planted / "models" / "engine" / "thread.py", "class Engine: ...\nclass Stats: ...")
    write(
        planted / "models" / "engine" / "__init__.py",
        """
        from models.engine.thread import Engine, Stats
        __all__ = ["Engine", "Stats"]
        """,
    )
    write(planted / "scripts" / "show.py", "from models.engine import Engine\nEngine()")
    assert names(planted) == ["Stats"]


def test_configuration_and_strings_name_what_they_load(planted: Path) -> None:
    write(planted / "models" / "draw.py", "class Draw: ...\nclass Erase: ...\nclass Fold: ...")
    write(planted / "cluster.yaml", "run: python -c models.draw:Draw")
    write(planted / "scripts" / "show.py", "ENTRY = 'models.draw:Erase'")
    assert names(planted) == ["Fold"]


def test_migrations_define_nothing_for_others(planted: Path) -> None:
    write(planted / "db" / "0001_tables.py", "revision = '0001'\ndef upgrade(): ...")
    assert names(planted) == []
