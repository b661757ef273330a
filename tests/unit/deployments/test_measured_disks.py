"""Which disks maintenance measures."""

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.maintenance import measure
from deployments.settings import SharedSettings
from metrics import catalog


@pytest.mark.parametrize("given", [True, False])
def test_the_disk_of_work_is_the_one_that_jobs_write_to(
    given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, temporary, data = (tmp_path / name for name in ("work", "temporary", "data"))
    free = {work: 1, temporary: 2, data: 3}
    for folder in free:
        folder.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(temporary))
    disk_usage = lambda folder: SimpleNamespace(free=free[folder], total=10)  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    shown = dict[str, Any]()
    monkeypatch.setattr(
        catalog,
        "DISK_FREE",
        SimpleNamespace(set=lambda value, folder: shown.update({folder: value})),
    )
    monkeypatch.setenv("ATELIER_DATA_DIR", str(data))
    monkeypatch.delenv("ATELIER_WORK_DIR", raising=False)
    if given:
        monkeypatch.setenv("ATELIER_WORK_DIR", str(work))
    measure._measure_disks(SimpleNamespace(shared=SharedSettings()))  # type: ignore[arg-type]
    assert shown == {"work": 1 if given else 2, "data": 3}
