"""What ``./scripts/run`` says of a data folder that another user made."""

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.dev.__main__ import main

US = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.getsignal(name) for name in names}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.parametrize("method", ["open", "mkdir"])
def test_it_says_whose_it_is_and_what_to_do(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ".atelier"
    if method == "open":
        folder.mkdir()

    def refuse(*_: Any, **__: Any) -> None:  # the tests may run as root, whom nothing refuses
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(Path, method, refuse)
        main(["--data", str(folder)])
    assert ended.value.code == 1
    said = " ".join(capsys.readouterr().out.split())
    there = folder if method == "open" else tmp_path
    assert f"{there} belongs to {US}, and {US} runs this" in said
    assert "choose another data folder with --data" in said
    assert (f"sudo chown -R {US} {folder}" in said) == (method == "open"), "not what is above it"
