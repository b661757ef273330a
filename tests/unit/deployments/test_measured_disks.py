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
    disks = {
        folder: SimpleNamespace(free=bytes_free, total=10) for folder, bytes_free in free.items()
    }
    monkeypatch.setattr(shutil, "disk_usage", disks.__getitem__)
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
    context: Any = SimpleNamespace(shared=SharedSettings())  # nothing else of it is read
    measure._measure_disks(context)
    assert shown == {"work": 1 if given else 2, "data": 3}
