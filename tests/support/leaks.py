"""What a log must not have in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def secrets_of(data: Path, dev: dict[str, Any]) -> set[str]:
    """The passwords, signing secrets and API keys of a run."""
    kept = json.loads((data / "embedded.json").read_text())
    secrets = {value for name, value in kept.items() if not name.endswith("_port")}
    return secrets | {dev["api_key"], dev["admin_api_key"]}


def leaks(logs: Iterable[Path], words: Iterable[str]) -> list[str]:
    """The lines of ``logs`` that have one of ``words`` in them, each after its file's name."""
    wanted = [word.encode() for word in words]
    return [
        f"{log.name}: {line[:300]!r}"
        for log in logs
        if log.is_file()
        for line in log.read_bytes().splitlines()
        if any(word in line for word in wanted)
    ]
