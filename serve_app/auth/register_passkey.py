"""Give an account a passkey: options behind the password, then what the authenticator made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webauthn import generate_registration_options, verify_registration_response
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from db.accounts import passkeys, users
from db.operations import audit_log
from db.outbox import mails
from db.redis import challenges
from db.tables import Passkey
from serve_app.auth.confirm_password import confirm_password
from serve_app.auth.identity import Identity
from serve_app.auth.relying_party import challenge_of, refusing, relying_party
from serve_app.auth.security_mail import write_security_mail
from serve_app.http.errors import InvalidPasskey, NotFound, TooManyPasskeys
from serve_app.resources import Clients


async def registration_options(
    clients: Clients, network: str, identity: Identity, password: str
) -> Mapping[str, Any]:
    """Return what ``navigator.credentials.create`` takes. It works once, for five minutes.

    Raises:
        PasskeysDisabled: no PUBLIC_URL is set.
        WrongCredentials: the password is wrong.
        RateLimited: too many attempts failed before.
        StoreUnavailable: Redis is away.
    """
    ours = relying_party(clients.settings.auth)
    user = await confirm_password(clients, network, identity, password)
    async with clients.sessions() as session:
        known = await passkeys.of_user(session, user.id)
    if len(known) >= passkeys.MAX_PASSKEYS:
        raise TooManyPasskeys
    options = generate_registration_options(
        rp_id=ours.id,
        rp_name=clients.settings.auth.jwt_issuer,
        user_id=user.id.encode(),
        user_name=user.email,
        challenge=await challenges.issue(clients.redis, "register", user.id),
        timeout=challenges.LIFETIME_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(key.credential_id) for key in known],
    )
    return options_to_json_dict(options)


async def register_passkey(
    clients: Clients, identity: Identity, name: str, credential: Mapping[str, Any]
) -> Passkey:
    """Keep what the authenticator made.

    Raises:
        PasskeysDisabled: no PUBLIC_URL is set.
        InvalidPasskey: it is not an answer to options of this user, was sent before, or is not
            valid; or the credential is kept already.
        TooManyPasskeys: there are as many as there may be.
        StoreUnavailable: Redis is away.
    """
    ours, user_id = relying_party(clients.settings.auth), identity.user_id
    challenge = challenge_of(credential)
    if not await challenges.take(clients.redis, "register", challenge, user_id):
        raise InvalidPasskey
    with refusing():
        made = verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=ours.id,
            expected_origin=list(ours.origins),
            require_user_verification=True,
        )
    async with clients.sessions.begin() as session:
        # One after another, so that they are counted.
        user = await users.lock_open(session, user_id, exclusive=True)
        if user is None:
            raise NotFound
        if len(await passkeys.of_user(session, user_id)) >= passkeys.MAX_PASSKEYS:
            raise TooManyPasskeys
        passkey = await passkeys.add(
            session,
            user_id,
            name,
            made.credential_id,
            made.credential_public_key,
            made.sign_count,
        )
        if passkey is None:
            raise InvalidPasskey
        await write_security_mail(session, clients, user, mails.PASSKEY_ADDED)
        await audit_log.write(session, actor=user_id, action="passkey.added", subject=passkey.id)
    return passkey
