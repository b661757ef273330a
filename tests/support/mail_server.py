"""A real SMTP server on this machine, in a thread, that answers as it is told to."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "atelier", "a p@ss/word"


@dataclass
class MailServer:
    """``refusal`` answers each recipient; None takes the mail. ``got`` are those taken."""

    host: str
    port: int
    refusal: str | None = None
    got: list[EmailMessage] = field(default_factory=list)
    asked: int = 0
    encrypted: list[bool] = field(default_factory=list)

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.got if mail["To"] == address]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked += 1
        if self.refusal is not None:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        mail: Any = message_from_bytes(envelope.content, policy=policy.default)
        self.encrypted.append(session.ssl is not None)
        self.got.append(mail)
        return "250 OK"


class _Controller(Controller):
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # the one that 0 became
        super()._trigger_server()


@contextmanager
def mail_server(
    host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, *, log_in: bool = False
) -> Iterator[MailServer]:
    """Listens until the block ends; with ``tls`` it demands STARTTLS, with ``log_in`` a log-in."""

    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        right = LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=data == right)

    found = MailServer(host, 0)
    controller = _Controller(
        found,
        hostname=host,
        port=0,
        ready_timeout=60,
        tls_context=tls,
        require_starttls=tls is not None,
        auth_required=log_in,
        auth_require_tls=tls is not None,
        authenticator=authenticate if log_in else None,
    )
    controller.start()
    try:
        found.port = controller.port
        yield found
    finally:
        controller.stop()


def token_of(mail: EmailMessage) -> str:
    """The token that the mail brings: its last word that looks like one."""
    words = mail.get_content().split()
    return next(word for word in words if word.startswith(("verify_", "reset_", "change_")))
