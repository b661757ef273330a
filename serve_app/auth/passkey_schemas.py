"""Passkeys as clients write and read them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from serve_app.http.schemas import Body, View

# What PublicKeyCredential.toJSON() of a browser returns; its parts are checked by signature.
Credential = Annotated[
    dict[str, Any], Field(description="As `PublicKeyCredential.toJSON()` returns it.")
]


class PasskeyOptionsBody(Body):
    """The password that is set: who finds a screen unlocked must not add a passkey."""

    password: Annotated[str, Field(max_length=256)]


class PasskeyBody(Body):
    """What the authenticator made, and a name to tell it by."""

    name: str = Field(min_length=1, max_length=100, examples=["my phone"])
    credential: Credential


class PasskeyLoginBody(Body):
    """What the authenticator signed."""

    credential: Credential


class PasskeyOptionsView(View):
    """``public_key`` is for ``parseCreationOptionsFromJSON`` or ``parseRequestOptionsFromJSON`` of
    the browser. It works once, for five minutes."""

    public_key: dict[str, Any]


class PasskeyView(View):
    """A passkey; the key itself never leaves the authenticator."""

    id: str
    object: Literal["passkey"] = "passkey"
    name: str
    created_at: datetime
    last_used_at: datetime | None


class PasskeysView(View):
    """Your passkeys, oldest first, 20 at most."""

    data: list[PasskeyView]
