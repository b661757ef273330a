"""Secrets of apps that show codes, which must be read again: sealed by AES-256-GCM.

The key is derived (HKDF-SHA256) from ``TOTP_KEY`` or, without it, ``JWT_SECRET``; that of
``TOTP_KEY_PREVIOUS`` opens what was sealed before. None is in Postgres, whose backups so open
nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from serve_app.settings import AuthSettings

_NONCE_BYTES = 12


class CannotOpen(Exception):
    """It was sealed with another key, for another user, or was altered."""


@dataclass(frozen=True)
class Opened:
    """A secret, and whether the key that sealed it is the one that seals now."""

    secret: str
    is_current: bool


def seal(settings: AuthSettings, user_id: str, secret: str) -> bytes:
    """Return the sealed secret; it opens for this user alone."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(_current(settings)).encrypt(nonce, secret.encode(), user_id.encode())


def unseal(settings: AuthSettings, user_id: str, sealed: bytes) -> Opened:
    """Open it by the key that seals now, or by the previous one; raises CannotOpen."""
    current, previous = _current(settings), settings.totp_key_previous
    secret = _open(current, user_id, sealed)
    if secret is not None:
        return Opened(secret, is_current=True)
    secret = _open(previous, user_id, sealed) if previous is not None else None
    if secret is None:
        raise CannotOpen
    return Opened(secret, is_current=False)


def _open(key: SecretStr, user_id: str, sealed: bytes) -> str | None:
    """Return the secret, None if this key did not seal it for this user."""
    nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return _cipher(key).decrypt(nonce, text, user_id.encode()).decode()
    except InvalidTag:
        return None


def _current(settings: AuthSettings) -> SecretStr:
    return settings.totp_key or settings.jwt_secret


def _cipher(key: SecretStr) -> AESGCM:
    secret = key.get_secret_value().encode()
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"atelier totp").derive(secret)
    return AESGCM(derived)
