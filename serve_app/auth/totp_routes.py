"""The second factor of an account: an app that shows codes. It takes a login, never a key."""

from fastapi import Depends, Response

from db.accounts import recovery_codes, totp
from serve_app.auth.confirm_totp import confirm_totp
from serve_app.auth.enrol_totp import enrol_totp
from serve_app.auth.identity import SessionDep
from serve_app.auth.remove_totp import remove_totp
from serve_app.auth.renew_recovery_codes import renew_recovery_codes
from serve_app.auth.schemas import (
    EnrolTotpBody,
    RecoveryCodesView,
    RemoveTotpBody,
    RenewRecoveryCodesBody,
    TotpCodeBody,
    TotpSecretView,
    TotpView,
)
from serve_app.http.client_address import ClientNetworkDep
from serve_app.http.dependencies import ClientsDep, require_json
from serve_app.http.errors import (
    InvalidOtp,
    NotFound,
    RateLimited,
    TotpEnabled,
    WrongCredentials,
)
from serve_app.http.problems import problem_responses
from serve_app.routing import make_router

router = make_router("/v1/me/totp", tags=["accounts"])


@router.get("")
async def show(identity: SessionDep, clients: ClientsDep) -> TotpView:
    """Whether your log-ins need a code."""
    async with clients.sessions() as session:
        factor = await totp.get(session, identity.user_id)
        left = await recovery_codes.left(session, identity.user_id)
    confirmed_at = factor.confirmed_at if factor is not None else None
    return TotpView(
        enabled=confirmed_at is not None, confirmed_at=confirmed_at, recovery_codes_left=left
    )


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(require_json)],
    responses=problem_responses(WrongCredentials, TotpEnabled, RateLimited),
)
async def enrol(
    body: EnrolTotpBody,
    identity: SessionDep,
    clients: ClientsDep,
    network: ClientNetworkDep,
    response: Response,
) -> TotpSecretView:
    """A secret for your app. Log-ins go on as before until a code of it is confirmed; a secret that
    never was gives way to the next."""
    response.headers["Cache-Control"] = "no-store"
    enrolment = await enrol_totp(clients, network, identity, body.password)
    return TotpSecretView.model_validate(enrolment, from_attributes=True)


@router.post(
    "/confirm",
    dependencies=[Depends(require_json)],
    responses=problem_responses(InvalidOtp, NotFound, TotpEnabled, RateLimited),
)
async def confirm(
    body: TotpCodeBody, identity: SessionDep, clients: ClientsDep, response: Response
) -> RecoveryCodesView:
    """Confirm the secret by a code of the app: from now on log-ins need one. The answer has ten
    recovery codes, which are shown this once; each stands in for the app once."""
    response.headers["Cache-Control"] = "no-store"
    codes = await confirm_totp(clients, identity, body.code)
    return RecoveryCodesView(recovery_codes=list(codes))


@router.post(
    "/recovery-codes",
    dependencies=[Depends(require_json)],
    responses=problem_responses(WrongCredentials, InvalidOtp, NotFound, RateLimited),
)
async def renew_codes(
    body: RenewRecoveryCodesBody,
    identity: SessionDep,
    clients: ClientsDep,
    network: ClientNetworkDep,
    response: Response,
) -> RecoveryCodesView:
    """Ten new recovery codes, which are shown this once; those before do not work any more. It
    takes the password, and a code of the app or a recovery code."""
    response.headers["Cache-Control"] = "no-store"
    codes = await renew_recovery_codes(clients, network, identity, body.password, body.otp)
    return RecoveryCodesView(recovery_codes=list(codes))


@router.delete(
    "",
    status_code=204,
    dependencies=[Depends(require_json)],
    responses=problem_responses(WrongCredentials, InvalidOtp, NotFound, RateLimited),
)
async def remove(
    body: RemoveTotpBody, identity: SessionDep, clients: ClientsDep, network: ClientNetworkDep
) -> None:
    """Remove the second factor and its recovery codes."""
    await remove_totp(clients, network, identity, body.password, body.otp)
