"""Passkeys: register, list, remove, and log in by one. Managing them takes a login, never a key."""

from fastapi import Depends, Response

from db.accounts import passkeys
from serve_app.auth.identity import SessionDep
from serve_app.auth.log_in_by_passkey import log_in_by_passkey, log_in_options
from serve_app.auth.passkey_schemas import (
    PasskeyBody,
    PasskeyLoginBody,
    PasskeyOptionsBody,
    PasskeyOptionsView,
    PasskeysView,
    PasskeyView,
)
from serve_app.auth.register_passkey import register_passkey, registration_options
from serve_app.auth.remove_passkey import remove_passkey
from serve_app.auth.schemas import LoginView
from serve_app.http.client_address import ClientNetworkDep
from serve_app.http.dependencies import ClientsDep, require_json, validate_id
from serve_app.http.errors import (
    InvalidPasskey,
    PasskeysDisabled,
    RateLimited,
    TooManyPasskeys,
    WrongCredentials,
)
from serve_app.http.problems import problem_responses
from serve_app.routing import make_router, rate_class

router = make_router("/v1", tags=["accounts"])


@router.post(
    "/me/passkeys/options",
    dependencies=[Depends(require_json)],
    responses=problem_responses(WrongCredentials, PasskeysDisabled, TooManyPasskeys, RateLimited),
)
async def options(
    body: PasskeyOptionsBody, identity: SessionDep, clients: ClientsDep, network: ClientNetworkDep
) -> PasskeyOptionsView:
    """What a browser needs to make a passkey."""
    made = await registration_options(clients, network, identity, body.password)
    return PasskeyOptionsView(public_key=dict(made))


@router.post(
    "/me/passkeys",
    status_code=201,
    dependencies=[Depends(require_json)],
    responses=problem_responses(InvalidPasskey, PasskeysDisabled, TooManyPasskeys),
)
async def create(body: PasskeyBody, identity: SessionDep, clients: ClientsDep) -> PasskeyView:
    """Keep the passkey that the browser made."""
    passkey = await register_passkey(clients, identity, body.name, body.credential)
    return PasskeyView.model_validate(passkey, from_attributes=True)


@router.get("/me/passkeys")
async def index(identity: SessionDep, clients: ClientsDep) -> PasskeysView:
    """Your passkeys, oldest first."""
    async with clients.sessions() as session:
        rows = await passkeys.of_user(session, identity.user_id)
    return PasskeysView(
        data=[PasskeyView.model_validate(row, from_attributes=True) for row in rows]
    )


@router.delete("/me/passkeys/{passkey_id}", status_code=204)
async def remove(passkey_id: str, identity: SessionDep, clients: ClientsDep) -> None:
    """Remove a passkey; it logs in no more. Log-ins that it began go on."""
    await remove_passkey(clients, identity, validate_id(passkey_id, "psk"))


@router.post("/auth/passkeys/options", responses=problem_responses(PasskeysDisabled, RateLimited))
@rate_class("login")
async def begin(clients: ClientsDep) -> PasskeyOptionsView:
    """What a browser needs to log in by a passkey. It names no account: the browser finds it."""
    return PasskeyOptionsView(public_key=dict(await log_in_options(clients)))


@router.post(
    "/auth/passkeys/token",
    dependencies=[Depends(require_json)],
    responses=problem_responses(InvalidPasskey, PasskeysDisabled, RateLimited),
)
@rate_class("login")
async def token(
    body: PasskeyLoginBody, clients: ClientsDep, network: ClientNetworkDep, response: Response
) -> LoginView:
    """Log in by a passkey. It is asked for nothing else: it has verified its owner."""
    response.headers["Cache-Control"] = "no-store"
    login = await log_in_by_passkey(clients, network, body.credential)
    return LoginView.model_validate(login, from_attributes=True)
