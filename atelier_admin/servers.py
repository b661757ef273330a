"""Where the stores are: in the environment, else those that ``./scripts/run`` started here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from atelier_admin.errors import BadConfiguration
from atelier_admin.options import DATA_FOLDER, ROOT, default_data_folder
from db.embedded.postgres import EmbeddedPostgres
from db.embedded.seaweedfs import EmbeddedSeaweedFS
from db.embedded.state import FILE, State
from db.embedded.valkey import EmbeddedValkey


class Server(Protocol):
    """A server of a run; making one starts nothing and writes nothing."""

    def __init__(self, folder: Path, state: State) -> None: ...
    def environment(self) -> dict[str, str]: ...


# By the variable with its address: each server, and what it has chosen once it has started for the
# first time. Reading a value that is missing would choose it, in the place of the run that is about
# to.
_SERVERS: dict[str, tuple[type[Server], frozenset[str]]] = {
    "DATABASE_URL": (EmbeddedPostgres, frozenset({"postgres_port", "postgres_password"})),
    "REDIS_URL": (EmbeddedValkey, frozenset({"valkey_port", "valkey_password"})),
    "S3_ENDPOINT": (EmbeddedSeaweedFS, frozenset({"s3_port", "s3_access_key", "s3_secret_key"})),
}


def find_settings(data: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that ``environ`` lacks, with the addresses and secrets of a local run.

    ``data`` is a folder that was asked for by name: it fills whatever the environment lacks. By
    default the folder of ``./scripts/run`` is used only where the environment names no database,
    so that nothing of two installations is ever mixed.

    Raises:
        BadConfiguration: neither the environment nor a folder names a database.
    """
    if data is None and environ.get("DATABASE_URL"):
        return {}
    folder = data or _default_folder(environ)
    if folder is None:
        raise BadConfiguration(
            "no database is known: set DATABASE_URL (on a node of a cluster: ./scripts/node exec"
            f" atelier-admin ...), or start ./scripts/run, whose servers are in {DATA_FOLDER}, or"
            " name its folder with --data"
        )
    found = _settings_of(folder, environ)
    return {name: value for name, value in found.items() if not environ.get(name)}


def data_folder(data: Path | None) -> Path:
    """Return the folder that was asked for, else that of ``./scripts/run``, there or not."""
    return data or _default_folder(os.environ) or default_data_folder(os.environ)


def read_dev_file(folder: Path) -> dict[str, object]:
    """Return what a run writes once it is up (``dev.json``): its addresses; empty if it is not."""
    try:
        found: dict[str, object] = json.loads((folder / "dev.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def _default_folder(environ: Mapping[str, str]) -> Path | None:
    """The folder of a run that is to be found without its name.

    ``ATELIER_DATA_DIR`` may name a folder in which there is none: that of another Postgres.
    """
    candidates = (default_data_folder(environ).resolve(), DATA_FOLDER.resolve(), ROOT / DATA_FOLDER)
    return next((folder for folder in candidates if (folder / FILE).exists()), None)


def _settings_of(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    folder = folder.resolve()
    try:
        chosen = frozenset(json.loads((folder / FILE).read_text()))
    except FileNotFoundError as error:
        raise BadConfiguration(f"{folder} is no data folder of ./scripts/run: no {FILE}") from error
    except (OSError, ValueError) as error:
        raise BadConfiguration(f"{folder / FILE} cannot be read: {error}") from error
    wanted = {name: found for name, found in _SERVERS.items() if not environ.get(name)}
    needed = frozenset({"jwt_secret"}).union(*(names for _, names in wanted.values()))
    if missing := sorted(needed - chosen):
        raise BadConfiguration(
            f"{folder} is still being set up (no {missing[0]} yet): try again once ./scripts/run"
            " says that it is up"
        )
    state = State(folder)
    settings = {"JWT_SECRET": state.secret("jwt_secret")}
    for server, _ in wanted.values():
        settings |= server(folder, state).environment()
    stripe = read_dev_file(folder).get("stripe")
    if isinstance(stripe, dict) and not environ.get("STRIPE_API_KEY"):  # its stand-in
        settings |= {str(name): str(value) for name, value in stripe.items()}
    return settings
