"""Every path and every link that the documents name is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / "ops").rglob("*.md"),
]
# Paths that a document tells the reader to make, or that a run makes.
NOT_IN_THE_TREE = re.compile(
    r"^(deployments/generators/framed/|\.atelier/|\.venv/|out/|ops/secrets(/|$)|ops/\.env)"
)
TOP = {path.name for path in ROOT.iterdir()}
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"^(?:\./)?([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.*-]+)*/?)$")
LINK = re.compile(r"\]\(([^)#\s]+)")
MODULE = re.compile(r"python -m ((?:scripts|benchmarks|tests|models|atelier_admin)(?:\.\w+)*)")


def named_paths(text: str) -> Iterator[str]:
    """The paths in backticks that begin at the root of the repository."""
    for code in CODE.findall(FENCED.sub("", text)):
        for word in code.split():
            match = PATH.match(word)
            if match is not None and "/" in match[1] and match[1].split("/")[0] in TOP:
                yield match[1]


def in_the_tree(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/"))) if "*" in path else (ROOT / path).exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_paths_exist(document: Path) -> None:
    paths = {path for path in named_paths(document.read_text()) if not NOT_IN_THE_TREE.match(path)}
    assert [path for path in sorted(paths) if not in_the_tree(path)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    prose = CODE.sub("", FENCED.sub("", document.read_text()))
    links = {link for link in LINK.findall(prose) if ":" not in link}
    assert [link for link in sorted(links) if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_commands_are_modules(document: Path) -> None:
    modules = {module.replace(".", "/") for module in MODULE.findall(document.read_text())}
    missing = [
        module
        for module in sorted(modules)
        if not (ROOT / f"{module}.py").exists() and not (ROOT / module).is_dir()
    ]
    assert missing == []


def test_the_search_finds_what_is_not_there() -> None:
    named = list(named_paths("see `db/queue.py`, `serve_app/`, `a/b.py` and ```\n`x`\n```"))
    assert named == ["db/queue.py", "serve_app/"]
    assert not in_the_tree("db/queue.py") and in_the_tree("db/redis/*.py")
