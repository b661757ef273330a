"""Device tokens: who logged in once on a device is told from strangers who guess at the account.

After OWASP's "Slow Down Online Guessing Attacks with Device Cookies". A token proves nothing but
that: it opens no account, and is bound to one.
"""

from __future__ import annotations

import time
from datetime import timedelta

from jose import jwt
from jose.exceptions import JOSEError

from db.ids import new_id
from serve_app.auth.tokens import ALGORITHM
from serve_app.settings import AuthSettings

LIFETIME = timedelta(days=180)
MAX_LENGTH = 1024


class DeviceTokens:
    """Signs and reads device tokens with the settings' secret."""

    def __init__(self, settings: AuthSettings) -> None:
        self._secret = settings.jwt_secret.get_secret_value()
        self._issuer = settings.jwt_issuer
        # Not the audience of access tokens: neither passes for the other.
        self._audience = f"{settings.jwt_audience}/device"

    def sign(self, user_id: str, device_id: str | None = None) -> str:
        """Sign a token for a device of the user; without ``device_id`` it is a new one."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user_id,
            "did": device_id or new_id("dev"),
            "exp": int(time.time()) + int(LIFETIME.total_seconds()),
        }
        return str(jwt.encode(claims, self._secret, algorithm=ALGORITHM))

    def read(self, token: str, user_id: str) -> str | None:
        """Return the id of the device; None unless the token is ours, unexpired and this user's."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                subject=user_id,
                options={"require_exp": True, "require_aud": True, "require_sub": True},
            )
            return str(claims["did"])
        except (JOSEError, KeyError, ValueError, TypeError, RecursionError):
            return None
