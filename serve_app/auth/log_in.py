"""Log in by a password, and go on by a refresh token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from db.accounts import users
from db.tables import User
from serve_app.auth import refresh, second_factor
from serve_app.auth.subjects import account_subject, device_subject, network_subject
from serve_app.http.errors import InvalidOtp, InvalidToken, WrongCredentials
from serve_app.resources import Clients


@dataclass(frozen=True)
class TokenPair:
    """The tokens of a login; ``expires_in`` is the lifetime of the access token in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True)
class Login(TokenPair):
    """A new login, and the token that makes its device known."""

    device_token: str


async def log_in(
    clients: Clients,
    network: str,
    email: str,
    password: str,
    otp: str | None,
    device_token: str | None,
) -> Login:
    """Log in; a device that the account knows is not delayed by what strangers guess.

    A success forgets the failures of the account or the device, never those of the network: else a
    guesser with an account would log in to it between the guesses. The right password alone is no
    success where a code is asked for.

    Raises:
        RateLimited: too many attempts failed before.
        WrongCredentials: which does not say what is wrong; also for an account that is pending, is
            disabled or was deleted.
        OtpRequired: the password is right, and the account has a second factor.
        InvalidOtp: the password is right, and the code is wrong or was used before.
        Unavailable: too many passwords are being checked.
    """
    settings = clients.settings.auth
    async with clients.sessions() as session:
        user = await users.by_email(session, email)
    device_id = clients.devices.read(device_token, user.id) if user and device_token else None
    if device_id is not None:
        own = device_subject(settings, device_id)
        subjects = [own]
    else:
        own = account_subject(settings, email)
        subjects = [own, network_subject(settings, network)]
    async with clients.attempts.attempt(*subjects):
        is_open = user is not None and not user.pending and users.is_open(user)
        password_hash = user.password_hash if user is not None and is_open else None
        if not await clients.passwords.matches(network, password_hash, password) or user is None:
            await clients.attempts.failed(*subjects)
            raise WrongCredentials
        try:
            first = await _begin(clients, user, otp)
        except InvalidOtp:
            await clients.attempts.failed(*subjects)
            raise
        await clients.attempts.succeeded(own)
    return begin_login(clients, first, device_id)


def begin_login(clients: Clients, first: refresh.Rotation, device_id: str | None = None) -> Login:
    """Return the tokens of a new login; without ``device_id`` its device becomes a known one."""
    pair = _pair(clients, first)
    device_token = clients.devices.sign(first.user_id, device_id)
    return Login(pair.access_token, pair.refresh_token, pair.expires_in, device_token)


async def _begin(clients: Clients, user: User, otp: str | None) -> refresh.Rotation:
    """Begin the login of a user whose password was right."""
    proof = await second_factor.prove(clients, user, otp)
    async with clients.sessions.begin() as session:
        # The password may have been reset while this attempt waited for its turn.
        if not await users.lock_password(session, user.id, user.password_hash):
            raise WrongCredentials
        if proof is not None:
            await second_factor.use_up(session, user.id, proof)
        first = await refresh.issue(session, user.id, clients.settings.auth.refresh_token_seconds)
        await second_factor.record_use(session, clients, user, proof)
    return first


async def renew(clients: Clients, network: str, refresh_token: str) -> TokenPair:
    """Exchange a refresh token for a token pair. A token used twice ends the whole login.

    Raises:
        InvalidToken: the token is unknown, expired, revoked or used before.
        RateLimited: the same, after too many failures of this network.
    """
    seconds = clients.settings.auth.refresh_token_seconds
    async with clients.sessions.begin() as session:
        rotation = await refresh.rotate(session, refresh_token, seconds)
    # Raised after the commit: the refused token may have revoked the family.
    if rotation is None:
        await refuse_token(clients, network)
    return _pair(clients, rotation)


async def refuse_token(clients: Clients, network: str) -> NoReturn:
    """Count a wrong token against its network.

    A right token is always taken: nobody can guess one, and nobody who has one should wait for what
    others of the network do.

    Raises:
        RateLimited: the network failed too often.
        InvalidToken: otherwise.
    """
    subject = network_subject(clients.settings.auth, network)
    await clients.attempts.check(subject)
    await clients.attempts.failed(subject)
    raise InvalidToken


def _pair(clients: Clients, rotation: refresh.Rotation) -> TokenPair:
    tokens = clients.tokens
    access = tokens.sign(rotation.user_id, rotation.family_id)
    return TokenPair(access, rotation.token, tokens.seconds)
