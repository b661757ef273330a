"""Accounts, tokens and keys as clients write and read them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import EmailStr, Field

from db.tables import Role
from serve_app.http.schemas import Body, FutureInstant, View, Whole

Password = Annotated[str, Field(min_length=8, max_length=256)]
Cap = Annotated[
    Whole, Field(ge=0, le=10**12, description="Credits it may spend in a calendar month (UTC).")
]
Scope = Literal["jobs:write", "jobs:read", "files", "billing", "admin"]


class RegisterBody(Body):
    """A new account; upper and lower case of the address are the same."""

    email: EmailStr = Field(max_length=254, examples=["ada@example.com"])
    password: Password = Field(examples=["correct horse battery staple"])


class MailedTokenBody(Body):
    """A token, as a mail brought it."""

    token: str = Field(max_length=256)


class AskResetBody(Body):
    """The address of the account whose password was forgotten."""

    email: EmailStr = Field(max_length=254, examples=["ada@example.com"])


class ResetBody(MailedTokenBody):
    """A token, as a mail brought it, and the password to set."""

    password: Password = Field(examples=["correct horse battery staple"])


class ChangePasswordBody(Body):
    """The password that is set, and the one to set."""

    current_password: Annotated[str, Field(max_length=256)]
    password: Password = Field(examples=["correct horse battery staple"])


class RefreshBody(Body):
    """A refresh token, as the last answer gave it."""

    refresh_token: str = Field(max_length=256)


class UserView(View):
    """An account."""

    id: str
    object: Literal["user"] = "user"
    email: str
    role: Role
    created_at: datetime


class AccountChangeBody(Body):
    """The new address, and the password that is set."""

    email: EmailStr = Field(max_length=254, examples=["ada@example.org"])
    current_password: Annotated[str, Field(max_length=256)]


class DeleteAccountBody(Body):
    """The password that is set: deleting an account cannot be undone."""

    password: Annotated[str, Field(max_length=256)]


class ChangedAccountView(View):
    """The account as it is now.

    With ``verification_required`` a mail has gone to the new address, and what it brings is needed
    before the account has it.
    """

    user: UserView
    verification_required: bool


class RegisteredUserView(View):
    """What is said of an account to whoever registers its address."""

    object: Literal["user"] = "user"
    email: str


class RegisteredView(View):
    """The answer to a registration, the same for an address that has an account.

    With ``verification_required`` a mail has gone to the address, and what it brings is needed
    before the first log-in.
    """

    user: RegisteredUserView
    verification_required: bool


class TokenView(View):
    """``expires_in`` is the access token's life in seconds; the refresh token works once."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int


class DeviceView(View):
    """``device_token``, sent with the next log-in, tells this device from strangers who guess."""

    device_token: str


class FactorView(View):
    """An app that shows codes, which has no name, or a passkey; ``id`` is that of
    ``DELETE /v1/me/passkeys/{passkey_id}``."""

    kind: Literal["totp", "passkey"]
    added_at: datetime
    id: str | None
    name: str | None


class ResetView(DeviceView):
    """The device's token, and what else logs in: remove what you did not add."""

    factors: list[FactorView]


class LoginView(TokenView, DeviceView):
    """The tokens of a login, and the token of its device."""


class EnrolTotpBody(Body):
    """The password that is set."""

    password: Annotated[str, Field(max_length=256)]


class TotpCodeBody(Body):
    """A code of the app."""

    code: str = Field(max_length=64, examples=["123456"])


class RemoveTotpBody(Body):
    """The password that is set, and a code of the app or a recovery code."""

    password: Annotated[str, Field(max_length=256)]
    otp: str = Field(max_length=64, examples=["123456"])


class RenewRecoveryCodesBody(Body):
    """The password that is set, and a code of the app or a recovery code."""

    password: Annotated[str, Field(max_length=256)]
    otp: str = Field(max_length=64, examples=["123456"])


class TotpView(View):
    """Whether log-ins need a code of an app, since when, and how many recovery codes are left."""

    object: Literal["totp"] = "totp"
    enabled: bool
    confirmed_at: datetime | None
    recovery_codes_left: int


class TotpSecretView(View):
    """A secret for an app, in base32 and as an address for a QR code. It is shown this once."""

    secret: str
    otpauth_uri: str


class RecoveryCodesView(View):
    """Codes that stand in for the app, each once. They are shown this once."""

    recovery_codes: list[str]


class ApiKeyBody(Body):
    """A key to make."""

    name: str = Field(min_length=1, max_length=100, examples=["my laptop"])
    scopes: list[Scope] = Field(
        default=["jobs:write", "jobs:read"], min_length=1, max_length=5, description="What it may."
    )
    monthly_cap: Cap | None = None
    expires_at: FutureInstant | None = Field(
        default=None, description="A moment in the future; from then on the key is refused."
    )


class ApiKeyChangeBody(Body):
    """What to change of a key; what is left out stays. A cap of null is none."""

    name: str = Field(default="", min_length=1, max_length=100)
    monthly_cap: Cap | None = None


class ApiKeyView(View):
    """A key without the key itself; ``hint`` is its last four characters."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    hint: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None = Field(description="From then on it is refused; null: never.")
    monthly_cap: int | None
    spent_this_month: int = 0


class NewApiKeyView(ApiKeyView):
    """A key just made. ``key`` is shown this once; a replayed request gets null."""

    key: str | None
