"""Links that read one object until they expire: AWS Signature Version 4, in the query.

The MinIO client signs them too, but derives the key of the day for each link, and a list of jobs
has a link for every output. Whoever asks again at the same second, as for a link whose time began
at a round one, gets the same link, so the last ones are remembered. Written after "Authenticating
Requests: Using Query Parameters"
(https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html); a test compares each
link with MinIO's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
REMEMBERED = 4096  # links, of about half a kilobyte


def response_headers(filename: str | None, content_type: str | None) -> dict[str, str]:
    """Return what has the store answer with a name to save the object under, and with a type."""
    headers: dict[str, str] = {}
    if filename is not None:
        name = quote(filename, safe="")
        headers["response-content-disposition"] = f"attachment; filename*=UTF-8''{name}"
    if content_type is not None:
        headers["response-content-type"] = content_type
    return headers


class LinkSigner:
    """Signs links to the objects below ``base_url``, which ends with a slash."""

    def __init__(self, base_url: str, region: str, access_key: str, secret_key: str) -> None:
        self._base_url, self._region = base_url, region
        self._host, self._path = urlsplit(base_url).netloc, urlsplit(base_url).path
        self._access_key, self._secret_key = access_key, secret_key
        self._signing_key = lru_cache(maxsize=2)(self._derive_key)
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._sign)

    def sign(
        self, key: str, expires_s: int, now: datetime, response_headers: Mapping[str, str]
    ) -> str:
        """Return a link that works for ``expires_s`` seconds (1 to 604,800) from ``now``, in UTC.

        The store answers with ``response_headers``, by their names in a query.

        Raises:
            ValueError: it would work for no time, or for more than S3 allows.
        """
        if not 1 <= expires_s <= 604_800:
            raise ValueError("a link works for a second to seven days")
        asked = tuple(sorted(response_headers.items()))
        return self._remembered(key, expires_s, now.replace(microsecond=0), asked)

    def _sign(
        self, key: str, expires_s: int, now: datetime, response_headers: tuple[tuple[str, str], ...]
    ) -> str:
        day, moment = f"{now:%Y%m%d}", f"{now:%Y%m%dT%H%M%SZ}"
        scope = f"{day}/{self._region}/s3/aws4_request"
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in response_headers)
        signed = (
            f"X-Amz-Algorithm={_ALGORITHM}"
            f"&X-Amz-Credential={quote(f'{self._access_key}/{scope}', safe='')}"
            f"&X-Amz-Date={moment}&X-Amz-Expires={expires_s}&X-Amz-SignedHeaders=host"
        )
        # The canonical query is in the order of bytes: capitals come first.
        canonical_query = f"{signed}&{asked}" if asked else signed
        path = quote(key)
        request = (
            f"GET\n{self._path}{path}\n{canonical_query}\nhost:{self._host}\n\nhost\n"
            "UNSIGNED-PAYLOAD"
        )
        hashed = hashlib.sha256(request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashed}"
        signature = hmac.digest(self._signing_key(day), text.encode(), "sha256").hex()
        query = f"{asked}&{signed}" if asked else signed
        return f"{self._base_url}{path}?{query}&X-Amz-Signature={signature}"

    def _derive_key(self, day: str) -> bytes:
        key = f"AWS4{self._secret_key}".encode()
        for part in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key
