"""``login`` and ``logout``: the key that is kept on this machine."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import sys

from atelier_client.accounts import Login as Session
from atelier_client.api_keys import Scope
from atelier_client.client import Client
from atelier_client.command.exits import OK
from atelier_client.command.inputs import BadArguments
from atelier_client.command.screen import Screen
from atelier_client.command.settings import (
    BadConfiguration,
    Login,
    config_path,
    find_service,
    read_login,
    write_login,
)
from atelier_client.errors import Unauthorized

SCOPES: tuple[Scope, ...] = ("jobs:write", "jobs:read", "files", "billing")


def add_arguments(login: argparse.ArgumentParser, logout: argparse.ArgumentParser) -> None:
    """Add the arguments of the two commands. Secrets are asked for, or read from standard input:
    every user of a machine can see the arguments of a command."""
    login.add_argument("service", nargs="?", metavar="URL", help="the address of the service")
    login.add_argument("--email", help="of the account; asked for if left out")
    login.add_argument(
        "--api-key", action="store_true", help="keep a key that you have, instead of making one"
    )
    logout.add_argument(
        "--revoke", action="store_true", help="end the key, too; asks for the password"
    )


def log_in(screen: Screen, arguments: argparse.Namespace) -> int:
    """Make an API key, or take one, and keep it.

    Raises:
        ApiError: the service refused the password or the key.
    """
    url = (arguments.service or arguments.url or "").rstrip("/") or find_service().url
    if arguments.api_key:
        login = Login(url, _secret("API key: "))
        with Client(url, login.api_key) as client:
            email = client.me().email
    else:
        email = arguments.email or _ask("E-mail: ")
        login = _make_key(url, email)
    path = write_login(login)
    screen.note(f"logged in as {email}; the key is in {path}")
    if os.environ.get("ATELIER_API_KEY"):
        screen.note("ATELIER_API_KEY is set and goes before it")
    return OK


def _make_key(url: str, email: str) -> Login:
    known = _known_login()
    device = known.device_token if known and (known.url, known.email) == (url, email) else ""
    session = _begin_session(url, email, device)
    with Client(url, session.access_token) as client:
        made = client.api_keys.create(f"atelier on {socket.gethostname()}"[:100], scopes=SCOPES)
        client.accounts.log_out()
    if made.key is None:
        raise BadArguments("the key was made, but the answer was lost twice; log in again")
    return Login(url, made.key, made.id, email, session.device_token)


def log_out(screen: Screen, arguments: argparse.Namespace) -> int:
    """Forget the key, and revoke it if asked to."""
    login = _known_login()
    if arguments.revoke:
        if login is None or not login.key_id:
            raise BadArguments("no key that `atelier login` made is kept here")
        session = _begin_session(login.url, login.email, login.device_token)
        with Client(login.url, session.access_token) as client:
            client.api_keys.revoke(login.key_id)
            client.accounts.log_out()
    config_path().unlink(missing_ok=True)
    if login is not None and not arguments.revoke:
        screen.note("the key is forgotten here, and works until it is revoked")
    return OK


def _begin_session(url: str, email: str, device: str) -> Session:
    """Ask for the password and, if the account has a second factor, for its code."""
    password = _secret("Password: ")
    with Client(url, "") as client:
        try:
            return client.accounts.log_in(email, password, device_token=device or None)
        except Unauthorized as refusal:
            if refusal.code != "otp_required":
                raise
        otp = _ask("Code of your app, or a recovery code: ")
        return client.accounts.log_in(email, password, otp=otp, device_token=device or None)


def _known_login() -> Login | None:
    try:
        return read_login()
    except BadConfiguration:  # it is about to be replaced or removed
        return None


def _ask(question: str) -> str:
    if sys.stdin.isatty():
        return input(question).strip()
    return _line()


def _secret(question: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(question).strip()
    return _line()


def _line() -> str:
    line = sys.stdin.readline().strip("\r\n")
    if not line:
        raise BadArguments("standard input has no line for it")
    return line
