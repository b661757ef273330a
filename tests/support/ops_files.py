"""Reading the files of ops/ as their programs do."""

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
