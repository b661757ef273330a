"""Open what a subcommand works on: Postgres alone, or every client that the HTTP API has."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from atelier_admin.errors import BadConfiguration, Refused
from atelier_admin.servers import find_settings
from billing.settings import StripeSettings
from db.accounts import users
from db.session import Sessions, make_sessions, open_engine, with_driver
from db.settings import StoreSettings
from db.tables import User
from deployments.catalog import CatalogError, load_catalog
from deployments.contract import GeneratorSpec
from deployments.settings import MailSettings
from serve_app.auth.api_keys import ALL_SCOPES
from serve_app.auth.identity import Identity
from serve_app.http.metrics import Metrics
from serve_app.resources import Clients, close_clients, open_clients
from serve_app.settings import AuthSettings, LimitSettings, Settings

# Who did it, in the audit log.
ACTOR = "atelier-admin"
# The same for functions of the HTTP API.
OPERATOR = Identity(ACTOR, "admin", "unlimited", frozenset(ALL_SCOPES))


@dataclass(frozen=True)
class Reach:
    """Which settings a command found; ``found`` are those that the environment lacks."""

    found: Mapping[str, str]

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Reach:
        """Raises BadConfiguration: no database is known."""
        return cls(find_settings(arguments.data, os.environ))

    @property
    def database_url(self) -> str:
        """Raises BadConfiguration: it is no address of Postgres."""
        try:
            return with_driver(self.found.get("DATABASE_URL") or os.environ["DATABASE_URL"])
        except ValueError as error:
            raise BadConfiguration(f"DATABASE_URL {error}") from error

    def stripe(self) -> StripeSettings:
        return StripeSettings(**self._given)

    def mail(self) -> MailSettings:
        return MailSettings(**self._given)

    def settings(self) -> Settings:
        """Return the settings of the HTTP API.

        Raises:
            pydantic.ValidationError: a variable is missing or malformed.
        """
        return Settings(
            StoreSettings(**self._given),
            AuthSettings(**self._given),
            LimitSettings(**self._given),
            self.stripe(),
            self.mail(),
        )

    @property
    def _given(self) -> dict[str, Any]:
        return dict(self.found)


@asynccontextmanager
async def open_sessions(arguments: argparse.Namespace) -> AsyncIterator[Sessions]:
    """Open Postgres. All that is needed is its address.

    Raises:
        BadConfiguration: no database is known.
    """
    engine = open_engine(Reach.of(arguments).database_url, connections=4)
    try:
        yield make_sessions(engine)
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_service(arguments: argparse.Namespace) -> AsyncIterator[Clients]:
    """Open the clients of the HTTP API, with the generators of ``--config``.

    Raises:
        BadConfiguration: no database is known, or the file names no generators.
        pydantic.ValidationError: a variable is missing or malformed.
    """
    catalog = find_generators(arguments.config)
    clients = open_clients(Reach.of(arguments).settings(), catalog, Metrics(), _no_replicas)
    try:
        yield clients
    finally:
        await close_clients(clients)


def find_generators(config: Path) -> dict[str, GeneratorSpec[Any]]:
    """Return the generators of a Serve config file.

    Raises:
        BadConfiguration: it cannot be read, or a generator cannot be loaded.
    """
    try:
        return load_catalog(read_application(config)["args"]["generators"])
    except CatalogError as error:
        raise BadConfiguration(f"{config}: {error}") from error


def read_application(config: Path) -> dict[str, Any]:
    """Return the one application of a Serve config file.

    Raises:
        BadConfiguration: it cannot be read, or is no such file.
    """
    try:
        (application,) = yaml.safe_load(config.read_text())["applications"]
        found: dict[str, Any] = application
        found["args"]["generators"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise BadConfiguration(f"{config} is no Serve config file of Atelier: {error}") from error
    return found


async def find_user(sessions: Sessions, who: str) -> User:
    """Return the user with this id or address; raises Refused."""
    async with sessions() as session:
        user = await (users.get if who.startswith("usr_") else users.by_email)(session, who)
    if user is None:
        raise Refused(f"there is no account {who}")
    return user


async def _no_replicas() -> None:
    return None
