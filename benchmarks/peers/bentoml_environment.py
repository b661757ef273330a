"""An environment for BentoML, whose dependencies do not go with ours (docs/decisions/0033).

``.venv-bentoml`` has BentoML and what differs, and takes everything else (torch, diffusers) from
the environment that runs this: a ``.pth`` file names its packages, behind its own.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-bentoml"
REQUIREMENTS = ROOT / "requirements" / "bentoml.txt"
PYTHON = FOLDER / "bin" / "python"
_STAMP = FOLDER / ".installed"


def is_ready() -> bool:
    """Whether the environment is there, with the versions that are pinned now."""
    return _STAMP.exists() and _STAMP.read_text() == _wanted()


def ensure() -> None:
    """Make the environment if it is not ready.

    Raises:
        subprocess.CalledProcessError: a package could not be installed; pip says why.
    """
    if is_ready():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
    purelib = ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run([PYTHON, *purelib], check=True, capture_output=True, text=True)
    Path(own.stdout.strip(), "atelier.pth").write_text(_ours() + "\n")
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([PYTHON, *install, "-r", REQUIREMENTS], check=True)
    _STAMP.write_text(_wanted())


def _ours() -> str:
    return sysconfig.get_path("purelib")


def _wanted() -> str:
    return f"{_ours()}\n{REQUIREMENTS.read_text()}"
