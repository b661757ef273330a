"""docs/security.md names tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", TEXT)


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 40
    missing = [(path, name) for path, name in NAMED if name not in functions(ROOT / path)]
    assert missing == []


def test_every_risk_has_a_test_and_says_what_is_not_covered() -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    risks = [section for section in sections if re.match(r"API\d+:", section)]
    assert [risk.partition(":")[0] for risk in risks] == [f"API{n}" for n in range(1, 11)]
    for risk in risks:
        for part in ("**Threat.**", "**What is done.**", "**Tests.**", "**Not covered.**"):
            assert part in risk
        assert "::test_" in risk


def functions(path: Path) -> set[str]:
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text())
    return {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
