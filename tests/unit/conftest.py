"""Unit tests start no process: what needs one is in ``tests/integration``."""

import subprocess
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"a unit test starts a process: {arguments[:1]}")

    monkeypatch.setattr(subprocess.Popen, "_execute_child", refuse)
    yield
