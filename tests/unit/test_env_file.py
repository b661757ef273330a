"""A node's settings are read as systemd reads them, and by no shell."""

from pathlib import Path

import pytest

from scripts.env_file import SettingsMissing, read_settings


def settings(folder: Path, text: str) -> dict[str, str]:
    path = folder / "atelier.env"
    path.write_text(text)
    return read_settings(path)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (
            "X=postgresql://a:p@h/db?sslmode=require&x=1",
            "postgresql://a:p@h/db?sslmode=require&x=1",
        ),
        ("X=$(reboot) `id` ${HOME} $HOME", "$(reboot) `id` ${HOME} $HOME"),
        ("X=a#b;c|d>e", "a#b;c|d>e"),
        ("X='with a blank # and a hash'", "with a blank # and a hash"),
        ('X="in double quotes"', "in double quotes"),
        ("  X=between  ", "between"),
    ],
)
def test_a_value_is_what_stands_there(tmp_path: Path, line: str, value: str) -> None:
    assert settings(tmp_path, f"# a comment\n\n{line}\n") == {"X": value}


def test_a_setting_that_was_not_filled_in_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsMissing, match="DATABASE_URL, REDIS_URL"):
        settings(tmp_path, "DATABASE_URL=\nREDIS_URL=\nX=1\n")
