"""Reading the files of ops/ as their programs do."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"


class _Loader(yaml.SafeLoader):
    """Knows Compose's marks for what a second file takes away, such as ``!reset``."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def documents(path: Path) -> list[Any]:
    """The YAML documents of a file, with anchors and merges resolved."""
    return [one for one in yaml.load_all(path.read_text(), _Loader) if one is not None]


def compose_config(name: str = "compose.yaml") -> dict[str, Any]:
    """A compose file as Compose reads it where no variable is set but those with a default."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (OPS / name).read_text())
    found: dict[str, Any] = yaml.load(text, _Loader)
    return found
