"""Accounts: register, log in and out, who one is, and what one may have."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from atelier_client.calls import Answer, Call, Flow, ask, tell
from atelier_client.resources import D, Operation, Resource


class RegisteredUser(Answer):
    """What is said of an account to whoever registers its address."""

    object: Literal["user"] = "user"
    email: str


class Registration(Answer):
    """With ``verification_required`` a mail has gone to the address, and what it brings is needed
    before the first log-in."""

    user: RegisteredUser
    verification_required: bool


class Login(Answer):
    """``access_token`` is used as a key is, for ``expires_in`` seconds. ``device_token``, sent
    with the next log-in, tells this device from strangers who guess."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    device_token: str


class User(Answer):
    """An account."""

    id: str
    object: Literal["user"] = "user"
    email: str
    role: Literal["user", "admin"]
    created_at: datetime


class Used(Answer):
    """How many there are and may be; ``max`` of None is no bound."""

    now: int
    max: int | None


class Limits(Answer):
    """What you may have, and have."""

    plan: str
    waiting: Used
    running: Used = Field(description="Over all generators; what is above waits.")
    streams: Used = Field(description="Event streams and waiting requests that are open.")
    requests_per_minute: int


def register(email: str, password: str) -> Flow[Registration]:
    """Make an account. An address that has one gets the same answer, and nothing changes."""
    body = {"email": email, "password": password}
    return (yield from ask(Call("POST", "/v1/auth/register", json=body), Registration))


def log_in(email: str, password: str, *, device_token: str | None = None) -> Flow[Login]:
    """Log in by password.

    Raises:
        Unauthorized: the address or the password is wrong.
    """
    form = {"username": email, "password": password}
    if device_token is not None:
        form["device_token"] = device_token
    return (yield from ask(Call("POST", "/v1/auth/token", form=form), Login))


def log_out() -> Flow[None]:
    """End the login whose access token is used: it stops working at once."""
    yield from tell(Call("POST", "/v1/auth/logout"))


def get_me() -> Flow[User]:
    """The account of the key."""
    return (yield from ask(Call("GET", "/v1/me"), User))


def get_limits() -> Flow[Limits]:
    """Your plan, and how many jobs and event streams you have and may have."""
    return (yield from ask(Call("GET", "/v1/limits"), Limits))


class Accounts(Resource[D]):
    """``client.accounts``."""

    register = Operation(register)
    log_in = Operation(log_in)
    log_out = Operation(log_out)
