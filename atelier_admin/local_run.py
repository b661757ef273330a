"""What ``./scripts/run`` has on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

DEFAULT_PORT = 8000


def ray_folder(data: Path) -> Path:
    """Ray's folder. Short, because the sockets in it may have at most 107 letters in their path."""
    tag = hashlib.sha256(f"{os.getuid()} {data.resolve()}".encode()).hexdigest()[:8]
    return Path(f"/tmp/atelier-{tag}")
