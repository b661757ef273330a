"""What passkeys are made for and checked against: the host of the service, and its origins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from webauthn.helpers import base64url_to_bytes, parse_client_data_json

from serve_app.http.errors import InvalidPasskey, PasskeysDisabled
from serve_app.settings import AuthSettings

log = structlog.get_logger()

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class RelyingParty:
    """``id`` is a host, ``origins`` are the pages that may ask for its passkeys."""

    id: str
    origins: tuple[str, ...]


def relying_party(settings: AuthSettings) -> RelyingParty:
    """Return ours; raises PasskeysDisabled where no PUBLIC_URL is set."""
    if settings.public_url is None:
        raise PasskeysDisabled
    urls = (settings.public_url, *settings.passkey_origins)
    origins = tuple(url.rstrip("/").lower() for url in urls)
    return RelyingParty(urlsplit(origins[0]).hostname or "", origins)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the library raises for what a stranger sent into InvalidPasskey.

    It reads JSON, CBOR and certificates of any shape, and passes on what the decoders below it
    raise: there is no list of it, and none of it is a fault of ours.
    """
    try:
        yield
    except Exception as error:
        log.info("passkey_refused", error=type(error).__name__)
        raise InvalidPasskey from error


def challenge_of(credential: Mapping[str, Any]) -> bytes:
    """Return the challenge that the browser says was signed.

    Raises:
        InvalidPasskey: there is none, or a page of another origin showed ours in a frame.
    """
    with refusing():
        data = parse_client_data_json(field(credential, "clientDataJSON"))
    if data.cross_origin:
        raise InvalidPasskey
    return data.challenge


def field(credential: Mapping[str, Any], name: str) -> bytes:
    """Return what the authenticator answered under this name; raises InvalidPasskey."""
    response = credential.get("response")
    text = response.get(name) if isinstance(response, dict) else None
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise InvalidPasskey
    try:
        return base64url_to_bytes(text)
    except ValueError as error:
        raise InvalidPasskey from error
