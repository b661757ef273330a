"""Run ``atelier-admin`` in this process, on the stores of the test."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from atelier_admin.main import main
from tests.support.http import SECRET

# An address where nothing listens: no test looks for the Ray of somebody else.
NO_DASHBOARD = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Said:
    """What the command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Admin:
    """The command with the settings of the test, and the generators of ``config``."""

    def __init__(self, capsys: pytest.CaptureFixture[str], config: Path) -> None:
        self._capsys, self.config = capsys, config

    async def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        try:
            status = await asyncio.to_thread(main, arguments)
        except SystemExit as ended:  # argparse's
            status = int(ended.code or 0)
        out, err = self._capsys.readouterr()
        return Said(status, out, err)

    async def done(self, *arguments: str) -> str:
        """What it prints where all goes well."""
        said = await self(*arguments)
        assert said.status == 0, said
        return said.out.strip()

    async def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The rows that it prints as JSON."""
        found: list[dict[str, Any]] = json.loads(await self.done(*arguments, "--json"))["data"]
        return found


def admin(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stores: Mapping[str, str],
    folder: Path,
    generators: list[str],
) -> Admin:
    """Make the command; its settings are in the environment until the test ends."""
    settings = {"JWT_SECRET": SECRET, "RAY_DASHBOARD_ADDRESS": NO_DASHBOARD, **stores}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    config = folder / "serve_config.yaml"
    application = {"name": "atelier", "args": {"generators": generators}}
    config.write_text(yaml.safe_dump({"applications": [application]}))
    return Admin(capsys, config)
