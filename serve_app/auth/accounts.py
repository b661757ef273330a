"""Register an account, log in, refresh a login."""

from __future__ import annotations

from dataclasses import dataclass

from billing import ledger
from db.accounts import users
from db.session import Sessions
from db.tables import User
from serve_app.auth import refresh
from serve_app.auth.passwords import hash_password, password_matches
from serve_app.auth.tokens import AccessTokens
from serve_app.http.errors import EmailTaken, InvalidToken, WrongCredentials
from serve_app.settings import AuthSettings


@dataclass(frozen=True)
class TokenPair:
    """The tokens of a login; ``expires_in`` is the lifetime of the access token in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


async def register(sessions: Sessions, settings: AuthSettings, email: str, password: str) -> User:
    """Create an account and grant its welcome credits.

    Raises:
        EmailTaken: an account has the address; case does not matter.
    """
    password_hash = await hash_password(password)
    async with sessions.begin() as session:
        user = await users.add(session, email, password_hash)
        if user is None:
            raise EmailTaken
        await ledger.grant(
            session, user.id, settings.welcome_credits, f"welcome:{user.id}", "welcome credits"
        )
    return user


async def log_in(
    sessions: Sessions, settings: AuthSettings, tokens: AccessTokens, email: str, password: str
) -> TokenPair:
    """Return a token pair; raises WrongCredentials, which does not say which part is wrong."""
    async with sessions() as session:
        user = await users.by_email(session, email)
    if not await password_matches(user.password_hash if user else None, password) or user is None:
        raise WrongCredentials
    async with sessions.begin() as session:
        first = await refresh.issue(session, user.id, settings.refresh_token_seconds)
    return _pair(tokens, first)


async def renew(
    sessions: Sessions, settings: AuthSettings, tokens: AccessTokens, refresh_token: str
) -> TokenPair:
    """Exchange a refresh token for a token pair. A token used twice ends the whole login.

    Raises:
        InvalidToken: the token is unknown, expired, revoked or used before.
    """
    async with sessions.begin() as session:
        rotation = await refresh.rotate(session, refresh_token, settings.refresh_token_seconds)
    # Raised after the commit: the refused token may have revoked the family.
    if rotation is None:
        raise InvalidToken
    return _pair(tokens, rotation)


def _pair(tokens: AccessTokens, rotation: refresh.Rotation) -> TokenPair:
    access = tokens.sign(rotation.user_id, rotation.family_id)
    return TokenPair(access, rotation.token, tokens.seconds)
