"""Access tokens: short-lived JWTs, one algorithm, every claim required and checked."""

from __future__ import annotations

import time
from dataclasses import dataclass

from jose import jwt
from jose.exceptions import JOSEError

from db.ids import new_id
from serve_app.http.errors import InvalidToken
from serve_app.settings import AuthSettings

ALGORITHM = "HS256"
_CHECKS = {
    **{f"require_{claim}": True for claim in ("iss", "aud", "exp", "iat", "jti", "sub")},
    "leeway": 0,
}


@dataclass(frozen=True)
class AccessClaims:
    """The claims of a valid token: its user, its login and its own id."""

    user_id: str
    family_id: str
    token_id: str
    expires_at: int


class AccessTokens:
    """Signs and reads access tokens with the settings' secret."""

    def __init__(self, settings: AuthSettings) -> None:
        self._secret = settings.jwt_secret.get_secret_value()
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self.seconds = settings.access_token_seconds

    def sign(self, user_id: str, family_id: str) -> str:
        """Sign a token for the user; ``family_id`` is the login."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user_id,
            "sid": family_id,
            "jti": new_id("jti"),
            "iat": now,
            "exp": now + self.seconds,
        }
        return str(jwt.encode(claims, self._secret, algorithm=ALGORITHM))

    def read(self, token: str) -> AccessClaims:
        """Verify a token; raises InvalidToken unless it is ours, complete and unexpired."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options=_CHECKS,
            )
            return AccessClaims(
                user_id=str(claims["sub"]),
                family_id=str(claims["sid"]),
                token_id=str(claims["jti"]),
                expires_at=int(claims["exp"]),
            )
        except (JOSEError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise InvalidToken from error
