"""Names for what must not be stored as it is: addresses of clients and of mails, in counters."""

from __future__ import annotations

import hashlib
import hmac

from serve_app.settings import AuthSettings


def pseudonym(settings: AuthSettings, *parts: str) -> str:
    """Return the same name for the same parts; only who has the secret finds out for which."""
    key = settings.jwt_secret.get_secret_value().encode()
    # The first word keeps these apart from what else the secret signs.
    text = "\0".join(("pseudonym", *parts))
    return hmac.new(key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:32]
