"""What a node's commands make of its settings."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_command_has_the_settings_and_a_file_that_is_not_there_is_an_error(
    tmp_path: Path,
) -> None:
    (tmp_path / "atelier.env").write_text("GREETING='good day'\n")
    command = [sys.executable, "-m", "scripts.env_file", str(tmp_path / "atelier.env")]
    show = [sys.executable, "-c", "import os; print(os.environ['GREETING'])"]
    shown = subprocess.run([*command, *show], capture_output=True, text=True, cwd=ROOT)
    assert shown.stdout == "good day\n"
    command[-1] = str(tmp_path / "none")
    refused = subprocess.run([*command, *show], capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode == 1
    assert "new-env" in refused.stderr


def test_new_settings_hold_fresh_secrets_and_blanks_for_the_stores() -> None:
    def fresh() -> str:
        command = [str(ROOT / "scripts" / "node"), "new-env"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    one, other = fresh(), fresh()
    assert "@" not in one
    assert one != other
    for name in ("JWT_SECRET", "RAY_AUTH_TOKEN"):
        (line,) = [line for line in one.splitlines() if line.startswith(f"{name}=")]
        assert len(line.removeprefix(f"{name}=")) == 64
    assert "DATABASE_URL=\n" in one
    assert os.access(ROOT / "scripts" / "node", os.X_OK)
