"""Accounts: register, log in and out, who one is, what one may have; change, export, delete."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import httpx
from pydantic import Field

from atelier_client.calls import Answer, Body, Call, Flow, Open, Read, ask, tell
from atelier_client.downloads import place_in
from atelier_client.errors import ConnectionFailed
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
    role: Literal["user", "support", "ops", "admin"]
    created_at: datetime


class ChangedAccount(Answer):
    """The account as it is now. With ``verification_required`` a mail has gone to the new address,
    and what it brings is needed before the account has it."""

    user: User
    verification_required: bool


class Used(Answer):
    """How many there are and may be; ``max`` of None is no bound."""

    now: int
    max: int | None


class Rate(Answer):
    """How many requests come back in a minute, and how many may be sent at once."""

    per_minute: int
    burst: int


class Limits(Answer):
    """What you may have, and have."""

    plan: str
    waiting: Used
    running: Used = Field(description="Over all generators; what is above waits.")
    streams: Used = Field(description="Event streams and waiting requests that are open.")
    storage: Used = Field(description="The bytes of your files, those of your jobs included.")
    requests_per_minute: int
    rates: dict[str, Rate] = Field(description="By class of request, of all you send.")


def register(email: str, password: str) -> Flow[Registration]:
    """Make an account. An address that has one gets the same answer, and nothing changes."""
    body = {"email": email, "password": password}
    return (yield from ask(Call("POST", "/v1/auth/register", json=body), Registration))


def log_in(
    email: str, password: str, *, otp: str | None = None, device_token: str | None = None
) -> Flow[Login]:
    """Log in by password, and by a code where the account has a second factor.

    Raises:
        Unauthorized: the address or the password is wrong; or, with the ``code`` ``otp_required``
            or ``invalid_otp``, the code of the second factor is missing or wrong.
    """
    form = {"username": email, "password": password}
    if otp is not None:
        form["otp"] = otp
    if device_token is not None:
        form["device_token"] = device_token
    return (yield from ask(Call("POST", "/v1/auth/token", form=form), Login))


def log_out() -> Flow[None]:
    """End the login whose access token is used: it stops working at once."""
    yield from tell(Call("POST", "/v1/auth/logout"))


def get_me() -> Flow[User]:
    """The account of the key."""
    return (yield from ask(Call("GET", "/v1/me"), User))


def update_me(email: str, *, current_password: str) -> Flow[ChangedAccount]:
    """Change the e-mail address.

    Raises:
        Unauthorized: the password is wrong.
        Conflict: another account has the address. Where mails are sent, only its owner is told.
    """
    body = {"email": email, "current_password": current_password}
    return (yield from ask(Call("PATCH", "/v1/me", json=body), ChangedAccount))


def export_me(path: Path | str) -> Flow[Path]:
    """Save everything that is kept of the account as a ZIP file; returns where it is.

    ``path`` is there once it is whole. It is begun once: what breaks off is not resumed.

    Raises:
        Conflict: an export is under way.
        ConnectionFailed: the answer broke off.
        OSError: the file cannot be written.
    """
    place = place_in(path, "atelier-export.zip")
    part = place.with_name(f".{place.name}.part")
    try:
        body: Body = yield Open(Call("GET", "/v1/me/export", stream=True))
        with part.open("wb") as file:
            try:
                while piece := (yield Read(body)):
                    file.write(piece)
            except httpx.TransportError as cause:
                raise ConnectionFailed("GET /v1/me/export", cause) from cause
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return place


def delete_me(password: str) -> Flow[None]:
    """Delete the account and everything in it. It cannot be undone.

    It is sent once: if the answer is lost, see whether you can still log in.

    Raises:
        Unauthorized: the password is wrong.
        Conflict: a plan would go on being paid.
    """
    yield from tell(Call("DELETE", "/v1/me", json={"password": password}, repeatable=False))


def get_limits() -> Flow[Limits]:
    """Your plan, and how many jobs and event streams you have and may have."""
    return (yield from ask(Call("GET", "/v1/limits"), Limits))


class Me(Resource[D]):
    """``client.me()`` is the account of the key. What changes it takes the access token of a login
    as the key."""

    __call__ = Operation(get_me)
    update = Operation(update_me)
    export = Operation(export_me)
    delete = Operation(delete_me)


class Accounts(Resource[D]):
    """``client.accounts``."""

    register = Operation(register)
    log_in = Operation(log_in)
    log_out = Operation(log_out)
