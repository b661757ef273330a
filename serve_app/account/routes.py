"""The account as its owner changes, exports and deletes it. All of it takes a login, not a key."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends

from serve_app.account.change_email import change_email
from serve_app.account.delete import delete_account
from serve_app.account.export import export
from serve_app.auth.identity import LoginDep
from serve_app.auth.schemas import (
    AccountChangeBody,
    ChangedAccountView,
    DeleteAccountBody,
    UserView,
)
from serve_app.http.client_address import ClientNetworkDep
from serve_app.http.dependencies import ClientsDep, require_json
from serve_app.http.errors import (
    EmailTaken,
    ExportRunning,
    OwnAccount,
    RateLimited,
    SubscriptionActive,
    TooManyStreams,
    WrongCredentials,
)
from serve_app.http.problems import problem_responses
from serve_app.http.zip_response import ZipResponse, zip_response
from serve_app.routing import make_router

router = make_router("/v1/me", tags=["accounts"])


@router.patch(
    "",
    dependencies=[Depends(require_json)],
    responses=problem_responses(WrongCredentials, EmailTaken, RateLimited),
)
async def change(
    body: AccountChangeBody, identity: LoginDep, clients: ClientsDep, network: ClientNetworkDep
) -> ChangedAccountView:
    """Change the e-mail address. Where mails are sent, a token mailed to the new address comes
    first, for `POST /v1/auth/verify`."""
    user, is_mailed = await change_email(
        clients, network, identity, body.email, body.current_password
    )
    view = UserView.model_validate(user, from_attributes=True)
    return ChangedAccountView(user=view, verification_required=is_mailed)


@router.delete(
    "",
    status_code=202,
    dependencies=[Depends(require_json)],
    responses=problem_responses(WrongCredentials, OwnAccount, SubscriptionActive, RateLimited),
)
async def delete(
    body: DeleteAccountBody, identity: LoginDep, clients: ClientsDep, network: ClientNetworkDep
) -> None:
    """Delete the account: log-ins and keys end at once, jobs are canceled, and everything is erased
    within the hour but what the law asks to keep. It cannot be undone."""
    await delete_account(clients, network, identity, body.password)


async def _admitted(identity: LoginDep, clients: ClientsDep) -> AsyncIterator[str]:
    """The user whose export begins, counted as a stream until the answer has ended."""
    user_id = identity.user_id
    with (
        clients.running_exports.admit(user_id),
        clients.open_streams.admit(user_id, identity.plan),
    ):
        yield user_id


@router.get(
    "/export",
    response_class=ZipResponse,
    response_description="The ZIP file.",
    responses=problem_responses(ExportRunning, TooManyStreams),
)
async def export_account(
    user_id: Annotated[str, Depends(_admitted)], clients: ClientsDep
) -> ZipResponse:
    """Everything that is kept of you, as a ZIP file: account, jobs, files, personas, credits."""
    return zip_response("atelier-export.zip", export(clients, user_id))
