"""What the mails about an account say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from db.accounts.account_tokens import Purpose
from db.accounts.factors import Factor
from db.outbox.mails import SecurityKind
from deployments.messaging.mail import Mail


def verify_mail(to: str, token: str, link_url: str | None) -> Mail:
    """The mail to an address that was registered."""
    return Mail(
        to,
        "Verify your address",
        "Somebody, most likely you, registered an account with this address.\n\n"
        f"To verify the address, {_how('verify', token, link_url)}\n\n"
        "This works once, for 24 hours. From then on you log in with the password that was given "
        "with this registration. If that was not you, do nothing.\n",
    )


def known_mail(to: str) -> Mail:
    """The mail to an address that was registered although it has an account."""
    return Mail(
        to,
        "You have an account",
        "Somebody, most likely you, registered an account with this address. It has one already, "
        "and nothing was changed.\n\n"
        "Log in with your password. If you forgot it, ask for a new one (POST "
        "/v1/auth/password-reset). If it was not you who registered, do nothing.\n",
    )


def reset_mail(to: str, token: str, link_url: str | None, factors: Sequence[Factor]) -> Mail:
    """The mail to somebody who forgot the password, of an account that has ``factors``."""
    return Mail(
        to,
        "Set a new password",
        "Somebody, most likely you, asked for a new password for your account.\n\n"
        f"To set one, {_how('reset', token, link_url)}\n\n"
        "This works once, for 30 minutes, and ends all log-ins of the account. If it was not you "
        "who asked, do nothing.\n" + _left_by_reset(factors),
    )


def _left_by_reset(factors: Sequence[Factor]) -> str:
    # Without their names: who added one chose it, and would write in our mail.
    if not factors:
        return ""
    lines = "".join(f"    {_KINDS[one.kind]}, since {one.added_at:%Y-%m-%d}\n" for one in factors)
    return (
        "\nBeside the password the account has, and keeps with a new one:\n\n"
        f"{lines}\n"
        "If you did not add one of them, somebody else was in your account: remove the passkey "
        "once you are logged in (DELETE /v1/me/passkeys/{passkey_id}); write to the operator of "
        "this service if it is the app.\n"
    )


def change_mail(to: str, token: str, link_url: str | None) -> Mail:
    """The mail to an address that an account is to have from now on."""
    return Mail(
        to,
        "Confirm your new address",
        "Somebody, most likely you, gave this address as the new one of an account.\n\n"
        f"To make it so, {_how('change', token, link_url)}\n\n"
        "This works once, for 24 hours. If it was not you, do nothing.\n",
    )


def changed_mail(to: str) -> Mail:
    """The mail to the address that an account had before."""
    return Mail(
        to,
        "Your account has another address",
        "Your account has another address from now on, and no mails will come to this one. If it "
        "was not you who changed it, write to the operator of this service now.\n",
    )


_KINDS = {"totp": "an app that shows codes", "passkey": "a passkey"}
# What happened, as subject and first sentence.
_SECURITY: Mapping[SecurityKind, tuple[str, str]] = {
    "second_factor_added": (
        "Your account has a second factor",
        "From now on a log-in to your account needs a code of your app.",
    ),
    "second_factor_removed": (
        "The second factor of your account was removed",
        "From now on a log-in to your account needs no code of an app.",
    ),
    "recovery_code_used": (
        "A recovery code of your account was used",
        "Somebody, most likely you, used a recovery code of your account, which does not work any "
        "more.",
    ),
    "recovery_codes_renewed": (
        "Your account has new recovery codes",
        "From now on only the new recovery codes of your account work.",
    ),
    "codes_guessed": (
        "Somebody knows your password",
        "Somebody sent your password with ten wrong codes in a row. Codes of your app are refused "
        "for a while; recovery codes work.",
    ),
    "passkey_added": (
        "Your account has a new passkey",
        "From now on a passkey more logs in to your account, without the password.",
    ),
    "passkey_removed": (
        "A passkey of your account was removed",
        "A passkey of your account does not log in any more.",
    ),
}


def security_mail(to: str, kind: SecurityKind) -> Mail:
    """The mail to the owner of an account whose log-in was changed."""
    subject, what = _SECURITY[kind]
    return Mail(
        to,
        subject,
        f"{what}\n\nIf that was not you, set a new password and look at who else may log in, or "
        "write to the operator of this service now.\n",
    )


def _how(purpose: Purpose, token: str, link_url: str | None) -> str:
    if link_url is not None:
        # After the #, so that the token is in no log of the server that has the page.
        return f"open this page:\n\n    {link_url}#{purpose}={token}"
    path = "/v1/auth/password-reset/confirm" if purpose == "reset" else "/v1/auth/verify"
    return f"send this token to POST {path}:\n\n    {token}"
