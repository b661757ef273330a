"""Secrets of apps that show codes, which must be read again: sealed by AES-256-GCM.

The key is derived (HKDF-SHA256) from ``TOTP_KEY`` or, without it, ``JWT_SECRET``. Neither is in
Postgres, whose backups so open nothing.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from serve_app.settings import AuthSettings

_NONCE_BYTES = 12


class CannotOpen(Exception):
    """It was sealed with another key, for another user, or was altered."""


def seal(settings: AuthSettings, user_id: str, secret: str) -> bytes:
    """Return the sealed secret; it opens for this user alone."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(settings).encrypt(nonce, secret.encode(), user_id.encode())


def unseal(settings: AuthSettings, user_id: str, sealed: bytes) -> str:
    """Return the secret; raises CannotOpen."""
    nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return _cipher(settings).decrypt(nonce, text, user_id.encode()).decode()
    except InvalidTag as error:
        raise CannotOpen from error


def _cipher(settings: AuthSettings) -> AESGCM:
    secret = (settings.totp_key or settings.jwt_secret).get_secret_value().encode()
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"atelier totp").derive(secret)
    return AESGCM(key)
