"""Whose failures are counted together: a network's, an account's among strangers, a device's."""

from __future__ import annotations

from serve_app.auth.failed_attempts import ACCOUNT, NETWORK, Subject
from serve_app.auth.pseudonyms import pseudonym
from serve_app.settings import AuthSettings


def network_subject(settings: AuthSettings, network: str) -> Subject:
    return Subject(pseudonym(settings, "network", network), NETWORK)


def account_subject(settings: AuthSettings, email: str) -> Subject:
    """Return the subject of an address, whether it has an account or not: both answer the same."""
    return Subject(pseudonym(settings, "account", email.lower()), ACCOUNT)


def device_subject(settings: AuthSettings, device_id: str) -> Subject:
    return Subject(pseudonym(settings, "device", device_id), ACCOUNT)
