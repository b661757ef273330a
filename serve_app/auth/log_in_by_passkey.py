"""Log in by a passkey: it verifies its owner by finger, face or PIN, so that it is both factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webauthn import generate_authentication_options, verify_authentication_response
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.structs import UserVerificationRequirement

from db.accounts import passkeys, users
from db.redis import challenges
from db.tables import Passkey
from serve_app.auth import refresh
from serve_app.auth.log_in import Login, begin_login
from serve_app.auth.relying_party import (
    RelyingParty,
    challenge_of,
    field,
    refusing,
    relying_party,
)
from serve_app.auth.subjects import network_subject
from serve_app.http.errors import InvalidPasskey
from serve_app.resources import Clients


async def log_in_options(clients: Clients) -> Mapping[str, Any]:
    """Return what ``navigator.credentials.get`` takes. It works once, for five minutes.

    It names nobody: the authenticator finds the account, and nobody learns who has passkeys.

    Raises:
        PasskeysDisabled: no PUBLIC_URL is set.
        StoreUnavailable: Redis is away.
    """
    options = generate_authentication_options(
        rp_id=relying_party(clients.settings.auth).id,
        challenge=await challenges.issue(clients.redis, "log_in"),
        timeout=challenges.LIFETIME_S * 1000,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


async def log_in_by_passkey(clients: Clients, network: str, credential: Mapping[str, Any]) -> Login:
    """Log in; what is refused counts against the network, as a wrong token does.

    Raises:
        PasskeysDisabled: no PUBLIC_URL is set.
        InvalidPasskey: which does not say what is wrong; also for an account that is disabled or
            was deleted.
        RateLimited: the same, after too many failures of this network.
        StoreUnavailable: Redis is away.
    """
    ours = relying_party(clients.settings.auth)
    try:
        return await _log_in(clients, ours, credential)
    except InvalidPasskey:
        subject = network_subject(clients.settings.auth, network)
        await clients.attempts.check(subject)
        await clients.attempts.failed(subject)
        raise


async def _log_in(clients: Clients, ours: RelyingParty, credential: Mapping[str, Any]) -> Login:
    challenge = challenge_of(credential)
    if not await challenges.take(clients.redis, "log_in", challenge):
        raise InvalidPasskey
    passkey = await _find(clients, credential)
    # The authenticator says whose it is: it must say what is kept.
    if passkey is None or field(credential, "userHandle") != passkey.user_id.encode():
        raise InvalidPasskey
    with refusing():
        answer = verify_authentication_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=ours.id,
            expected_origin=list(ours.origins),
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    async with clients.sessions.begin() as session:
        user = await users.lock_open(session, passkey.user_id)
        if user is None or not await passkeys.use(session, passkey.id, answer.new_sign_count):
            raise InvalidPasskey
        first = await refresh.issue(session, user.id, clients.settings.auth.refresh_token_seconds)
    return begin_login(clients, first)


async def _find(clients: Clients, credential: Mapping[str, Any]) -> Passkey | None:
    with refusing():
        credential_id = base64url_to_bytes(credential["rawId"])
    async with clients.sessions() as session:
        return await passkeys.by_credential(session, credential_id)
