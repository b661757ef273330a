"""The client can be installed alone: it needs httpx and pydantic, and the command also rich."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3] / "atelier_client"
COMMAND = ROOT / "command"


def needed(paths: Iterator[Path]) -> set[str]:
    """The packages that these files import, beside Python's own."""
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names


def test_the_library_needs_two_packages() -> None:
    library = (path for path in ROOT.glob("*.py") if path.name != "__main__.py")
    assert needed(library) == {"atelier_client", "httpx", "pydantic"}


def test_the_command_needs_one_more() -> None:
    assert needed(COMMAND.rglob("*.py")) == {"atelier_client", "pydantic", "rich"}


def test_the_library_does_without_the_command() -> None:
    library = [path for path in ROOT.glob("*.py") if path.name != "__main__.py"]
    assert len(library) > 10
    assert not [path for path in library if "atelier_client.command" in path.read_text()]
