"""The headers that tell a browser what it must not do with an answer (OWASP REST Security)."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders

_POWERFUL_FEATURES = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen",
    "geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment",
    "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "sync-xhr", "usb",
    "web-share", "xr-spatial-tracking",
)  # fmt: skip

# For answers that are data. A page sets a policy of its own (``serve_app.http.docs``).
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _POWERFUL_FEATURES),
}
# A year. Not for subdomains: what else is served below this name is not ours to say.
_HSTS = "max-age=31536000"


def add_security_headers(headers: MutableHeaders, *, is_https: bool, is_private: bool) -> None:
    """Add the headers that the route has not set.

    ``is_private``: the request carried credentials, so no cache may keep the answer.
    """
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if is_private:
        headers.setdefault("Cache-Control", "no-store")
    if is_https:
        headers.setdefault("Strict-Transport-Security", _HSTS)
