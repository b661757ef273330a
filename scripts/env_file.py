"""Run a command with the settings of a file: ``python -m scripts.env_file FILE COMMAND ...``.

The file is one that systemd's ``EnvironmentFile=`` reads: one ``NAME=value`` a line, values in
quotes or not. A shell must not read it: it would run what addresses of stores have in them
(``?sslmode=require&...``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dotenv import dotenv_values


class SettingsMissing(Exception):
    """The file is not there, or names a setting without a value; the message says which."""


def read_settings(path: Path) -> dict[str, str]:
    """The settings of the file; nothing in them is expanded.

    Raises:
        SettingsMissing: there is no such file, or a setting in it has no value.
    """
    if not path.is_file():
        raise SettingsMissing(f"{path} is not there; ./scripts/node new-env prints one to fill in")
    values = dotenv_values(path, interpolate=False)
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise SettingsMissing(f"{path}: no value for {', '.join(missing)}")
    return {name: value for name, value in values.items() if value}


def main() -> None:
    file, *command = sys.argv[1:]
    try:
        settings = read_settings(Path(file))
    except SettingsMissing as error:
        raise SystemExit(f"error: {error}") from None
    os.execvpe(command[0], command, {**os.environ, **settings})


if __name__ == "__main__":
    main()
