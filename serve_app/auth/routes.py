"""Register, log in, refresh, log out, and the account itself."""

from typing import Annotated

from fastapi import Depends, Form, Header, Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from db.accounts import users
from serve_app.auth import log_in, mailed_tokens, refresh
from serve_app.auth.change_password import change_password
from serve_app.auth.device_tokens import MAX_LENGTH
from serve_app.auth.identity import IdentityDep, LoginDep
from serve_app.auth.rate_limits import count_refresh
from serve_app.auth.register import register
from serve_app.auth.schemas import (
    AskResetBody,
    ChangePasswordBody,
    DeviceView,
    LoginView,
    MailedTokenBody,
    RefreshBody,
    RegisterBody,
    RegisteredUserView,
    RegisteredView,
    ResetBody,
    ResetView,
    TokenView,
    UserView,
)
from serve_app.http.client_address import ClientNetworkDep
from serve_app.http.dependencies import ClientsDep, require_json
from serve_app.http.errors import (
    EmailTaken,
    InvalidOtp,
    InvalidToken,
    MailDisabled,
    NotFound,
    OtpRequired,
    RateLimited,
    RegistrationClosed,
    WrongCredentials,
)
from serve_app.http.problems import problem_responses
from serve_app.http.schemas import is_storable
from serve_app.routing import make_router, rate_class

router = make_router("/v1", tags=["accounts"])


@router.post(
    "/auth/register",
    status_code=201,
    dependencies=[Depends(require_json)],
    responses=problem_responses(RegistrationClosed, RateLimited),
)
@rate_class("login")
async def create(
    body: RegisterBody, clients: ClientsDep, network: ClientNetworkDep
) -> RegisteredView:
    """Make an account. An address that has one gets the same answer, and nothing changes."""
    await register(clients, network, body.email, body.password)
    return RegisteredView(
        user=RegisteredUserView(email=body.email.lower()),
        verification_required=clients.settings.auth.registration == "verified",
    )


@router.post(
    "/auth/verify",
    dependencies=[Depends(require_json)],
    responses=problem_responses(InvalidToken, EmailTaken, RateLimited),
)
@rate_class("login")
async def verify(
    body: MailedTokenBody, clients: ClientsDep, network: ClientNetworkDep, response: Response
) -> DeviceView:
    """Verify an address by the token mailed to it: its account can log in from now on, or an
    account that wanted the address has it."""
    _disable_caching(response)
    device_token = await mailed_tokens.verify_address(clients, network, body.token)
    return DeviceView(device_token=device_token)


@router.post(
    "/auth/token",
    responses=problem_responses(WrongCredentials, OtpRequired, InvalidOtp, RateLimited),
)
@rate_class("login")
async def token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    clients: ClientsDep,
    network: ClientNetworkDep,
    response: Response,
    otp: Annotated[
        str | None,
        Form(max_length=64, description="A code of the second factor, or a recovery code."),
    ] = None,
    device_token: Annotated[
        str | None, Form(max_length=MAX_LENGTH, description="As the last log-in gave it.")
    ] = None,
    device_header: Annotated[
        str | None,
        Header(alias="X-Device-Token", max_length=MAX_LENGTH, description="The same as a header."),
    ] = None,
) -> LoginView:
    """Log in (OAuth2 password form; `username` is the e-mail address). An account with a second
    factor is asked for its code, `otp`, once the password is right."""
    _disable_caching(response)
    email = form.username.strip().lower()
    if len(email) > 254 or len(form.password) > 256 or not is_storable(email):
        raise WrongCredentials
    login = await log_in.log_in(
        clients, network, email, form.password, otp, device_token or device_header
    )
    return LoginView.model_validate(login, from_attributes=True)


@router.post(
    "/auth/refresh",
    dependencies=[Depends(require_json)],
    responses=problem_responses(InvalidToken, RateLimited),
)
@rate_class("refresh")
async def renew(
    request: Request,
    body: RefreshBody,
    clients: ClientsDep,
    network: ClientNetworkDep,
    response: Response,
) -> TokenView:
    """The next pair of tokens. Using a refresh token a second time ends its whole login."""
    _disable_caching(response)
    await count_refresh(request, clients, body.refresh_token)
    pair = await log_in.renew(clients, network, body.refresh_token)
    return TokenView.model_validate(pair, from_attributes=True)


@router.post(
    "/auth/password-reset",
    status_code=202,
    dependencies=[Depends(require_json)],
    responses=problem_responses(MailDisabled, RateLimited),
)
@rate_class("login")
async def ask_reset(body: AskResetBody, clients: ClientsDep, network: ClientNetworkDep) -> None:
    """Mail a token that sets a new password. The answer is the same without an account."""
    await mailed_tokens.ask_reset(clients, network, body.email)


@router.post(
    "/auth/password-reset/confirm",
    dependencies=[Depends(require_json)],
    responses=problem_responses(InvalidToken, MailDisabled, RateLimited),
)
@rate_class("login")
async def reset(
    body: ResetBody, clients: ClientsDep, network: ClientNetworkDep, response: Response
) -> ResetView:
    """Set a new password by a mailed token; all log-ins of the account end. Its keys stay, and so
    do its app and its passkeys: `factors` has them, with when each was added."""
    _disable_caching(response)
    done = await mailed_tokens.reset_password(clients, network, body.token, body.password)
    return ResetView.model_validate(done, from_attributes=True)


@router.post("/auth/logout", status_code=204)
async def log_out(identity: LoginDep, clients: ClientsDep) -> None:
    """End the login of this access token: it and its refresh tokens stop working at once."""
    if identity.family_id is not None:
        async with clients.sessions.begin() as session:
            await refresh.revoke_family(session, identity.family_id)


@router.put(
    "/me/password",
    status_code=204,
    dependencies=[Depends(require_json)],
    responses=problem_responses(WrongCredentials, RateLimited),
)
async def set_password(
    body: ChangePasswordBody, identity: LoginDep, clients: ClientsDep, network: ClientNetworkDep
) -> None:
    """Change the password. All other logins of the account end; this one and API keys stay."""
    await change_password(clients, network, identity, body.current_password, body.password)


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
