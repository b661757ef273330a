"""Begin a second factor: a secret for an app, which is to be confirmed by a code."""

from __future__ import annotations

from dataclasses import dataclass

from db.accounts import totp
from serve_app.auth import sealed_secrets, totp_codes
from serve_app.auth.confirm_password import confirm_password
from serve_app.auth.identity import Identity
from serve_app.http.errors import TotpEnabled
from serve_app.resources import Clients


@dataclass(frozen=True)
class Enrolment:
    """The secret in base32, and the same as an address for a QR code."""

    secret: str
    otpauth_uri: str


async def enrol_totp(
    clients: Clients, network: str, identity: Identity, password: str
) -> Enrolment:
    """Return a new secret. Log-ins go on without a code until it is confirmed.

    Raises:
        TotpEnabled: the account has a second factor.
        WrongCredentials: the password is wrong.
        RateLimited: too many attempts failed before.
        Unavailable: too many passwords are being checked.
    """
    user = await confirm_password(clients, network, identity, password)
    settings, secret = clients.settings.auth, totp_codes.new_secret()
    sealed = sealed_secrets.seal(settings, user.id, secret)
    async with clients.sessions.begin() as session:
        if not await totp.enrol(session, user.id, sealed):
            raise TotpEnabled
    uri = totp_codes.otpauth_uri(secret, user.email, settings.jwt_issuer)
    return Enrolment(secret, uri)
