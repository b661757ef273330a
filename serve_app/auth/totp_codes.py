"""The codes of an app (TOTP, RFC 6238): six digits of SHA-1, new every 30 seconds.

These are the defaults, which every app knows; many ignore all others.
"""

from __future__ import annotations

import re
import time

import pyotp
from pyotp.exceptions import OTPVerificationError

# A code works in its own time step and in those beside it: clocks differ, and people type slowly.
WINDOW = 1
_CODE = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """Return 160 random bits in base32, as RFC 4226 asks for."""
    return pyotp.random_base32()


def otpauth_uri(secret: str, email: str, issuer: str) -> str:
    """Return the address that an app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)


def is_code(text: str) -> bool:
    """Return whether it looks like a code of an app; anything else is taken for a recovery code."""
    return _CODE.fullmatch(_without_spaces(text)) is not None


def matching_step(secret: str, code: str) -> int | None:
    """Return the time step whose code this is, None if it is that of none in the window."""
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(
            _without_spaces(code), for_time=time.time(), valid_window=WINDOW
        )
    except OTPVerificationError:
        return None


def _without_spaces(text: str) -> str:
    """Return the code as it is computed: apps show it as ``123 456``."""
    return "".join(text.split())
