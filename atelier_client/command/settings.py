"""Which service the command speaks to, and the file in which a login is kept."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

# What ./scripts/run writes while the service is up on this machine.
LOCAL = Path(".atelier/dev.json")


class ServiceNotFound(RuntimeError):
    """No service is known; the message says how to name one."""


class BadConfiguration(RuntimeError):
    """The file with the login cannot be read; the message says why."""


@dataclass(frozen=True)
class Service:
    """Where the service is, and the key for it."""

    url: str
    api_key: str | None


@dataclass(frozen=True)
class Login:
    """What ``atelier login`` keeps. ``key_id``, ``email`` and ``device_token`` are empty where a
    key was given."""

    url: str
    api_key: str
    key_id: str = ""
    email: str = ""
    device_token: str = ""


def config_path() -> Path:
    """Return the place of the login: ``~/.config/atelier/config.toml``."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "atelier" / "config.toml"


def read_login() -> Login | None:
    """Read the login; None if there is none.

    Raises:
        BadConfiguration: the file is no login.
    """
    path = config_path()
    try:
        return Login(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadConfiguration(f"{path}: {error}; `atelier logout` removes it") from error


def write_login(login: Login) -> Path:
    """Keep the login in a file that only its owner can read; returns where."""
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(f".{os.getpid()}")
    # A string of JSON is one of TOML.
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in asdict(login).items()]
    opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        file.writelines(lines)
    new.replace(path)
    return path


def find_service(url: str | None = None, local: Path | None = None) -> Service:
    """Find the service: as given, else in ``ATELIER_URL`` and ``ATELIER_API_KEY``, the file
    ``local``, the login, or the file that ./scripts/run writes.

    A key that is kept for one address is sent to no other.

    Raises:
        ServiceNotFound: no service is known.
        BadConfiguration: the file with the login cannot be read.
    """
    url = (url or os.environ.get("ATELIER_URL") or "").rstrip("/")
    api_key = os.environ.get("ATELIER_API_KEY")
    if url and api_key:
        return Service(url, api_key)
    login = read_login()
    known = [
        *([_read_local(local)] if local else []),
        login and Service(login.url, login.api_key),
        _read_local(LOCAL),
    ]
    for service in known:
        if service is not None and url in ("", service.url):
            return Service(service.url, api_key or service.api_key)
    if not url:
        raise ServiceNotFound(
            "no service is known: `atelier login URL`, or set ATELIER_URL and ATELIER_API_KEY, "
            "or start ./scripts/run"
        )
    return Service(url, api_key)


def _read_local(path: Path) -> Service | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Service(found["base_url"].rstrip("/"), found["api_key"])
    except (OSError, ValueError, KeyError):
        return None
