"""Files with settings and keys, which leave this machine only encrypted."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

SETTINGS = "settings.tar"
# Of the repository's folder. The environment file of a cluster is named by ATELIER_ENV_FILE.
_OF_THE_SERVICE = ("serve_config.yaml", "cluster.yaml", ".env", "atelier.env")
# Says where a run listens and which processes it has; the next run writes it anew.
_OF_A_RUN = ("dev.json",)


def collect_settings(data: Path, root: Path, further: Iterable[Path], to: Path) -> list[str]:
    """Copy settings into a folder: ``data/`` those of the data folder, ``service/`` the others.

    Returns their names there; files that do not exist are left out.
    """
    found = {
        f"data/{path.name}": path for path in data.glob("*.json") if path.name not in _OF_A_RUN
    }
    found |= {f"service/{name}": root / name for name in _OF_THE_SERVICE}
    found |= {f"service/{path.name}": path for path in further}
    there = {name: path for name, path in found.items() if path.is_file()}
    for folder in ("data", "service"):
        (to / folder).mkdir(parents=True, mode=0o700)
    for name, path in there.items():
        shutil.copyfile(path, to / name)
        (to / name).chmod(0o600)
    return sorted(there)
