"""Register, log in, refresh, log out, and the account itself."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.security import OAuth2PasswordRequestForm

from db.accounts import users
from serve_app.auth import accounts, refresh
from serve_app.auth.identity import IdentityDep, LoginDep
from serve_app.auth.schemas import (
    RefreshBody,
    RegisterBody,
    RegisteredView,
    TokenView,
    UserView,
)
from serve_app.http.dependencies import ClientsDep, require_json
from serve_app.http.errors import NotFound, RateLimited, WrongCredentials
from serve_app.http.schemas import is_storable
from serve_app.resources import Clients

router = APIRouter(prefix="/v1", tags=["accounts"])

# Guesses at one account's password a minute, from wherever they come.
LOGINS_PER_MINUTE = 20


@router.post("/auth/register", status_code=201, dependencies=[Depends(require_json)])
async def register(body: RegisterBody, clients: ClientsDep) -> RegisteredView:
    """Make an account; it starts with the welcome credits."""
    user = await accounts.register(
        clients.sessions, clients.settings.auth, body.email, body.password
    )
    return RegisteredView(user=UserView.model_validate(user, from_attributes=True))


@router.post("/auth/token")
async def token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], clients: ClientsDep, response: Response
) -> TokenView:
    """Log in (OAuth2 password form; `username` is the e-mail address)."""
    _disable_caching(response)
    email = form.username.strip().lower()
    if len(email) > 254 or len(form.password) > 256 or not is_storable(email):
        raise WrongCredentials
    await _limit_login_attempts(clients, email)
    pair = await accounts.log_in(
        clients.sessions, clients.settings.auth, clients.tokens, email, form.password
    )
    return TokenView.model_validate(pair, from_attributes=True)


@router.post("/auth/refresh", dependencies=[Depends(require_json)])
async def renew(body: RefreshBody, clients: ClientsDep, response: Response) -> TokenView:
    """The next pair of tokens. Using a refresh token a second time ends its whole login."""
    _disable_caching(response)
    pair = await accounts.renew(
        clients.sessions, clients.settings.auth, clients.tokens, body.refresh_token
    )
    return TokenView.model_validate(pair, from_attributes=True)


@router.post("/auth/logout", status_code=204)
async def log_out(identity: LoginDep, clients: ClientsDep) -> None:
    """End the login of this access token: it and its refresh tokens stop working at once."""
    if identity.family_id is not None:
        async with clients.sessions.begin() as session:
            await refresh.revoke_family(session, identity.family_id)


@router.get("/me")
async def me(identity: IdentityDep, clients: ClientsDep) -> UserView:
    """The account of the token or key."""
    async with clients.sessions() as session:
        user = await users.get(session, identity.user_id)
    if user is None:
        raise NotFound
    return UserView.model_validate(user, from_attributes=True)


def _disable_caching(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"  # RFC 6749 section 5.1


async def _limit_login_attempts(clients: Clients, email: str) -> None:
    allowance = await clients.limiter.take(f"login:{email}", LOGINS_PER_MINUTE)
    if allowance.exceeded:
        raise RateLimited(allowance.resets_in_s)
