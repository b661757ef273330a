"""Send mails by SMTP: encrypted to every server but one on this machine.

``smtp://`` is upgraded by STARTTLS, whose certificate is verified; ``smtps://`` is TLS from the
first byte. Nothing here logs: an error says the server's code, not its words, which may repeat what
was sent.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import SplitResult, unquote, urlsplit

from email_validator import validate_email

from deployments.settings import LOOPBACK_HOSTS, MailSettings

TIMEOUT_S = 20.0
# The codes from here on are final (RFC 5321 section 4.2.1).
PERMANENT = 500


class MailNotSent(Exception):
    """The mail was not taken; ``permanent`` says that it never will be."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


@dataclass(frozen=True)
class Mail:
    """A mail in plain text to one address."""

    to: str
    subject: str
    text: str


class Mailer:
    """Sends mails through the server of the settings; each has a connection of its own."""

    def __init__(self, settings: MailSettings) -> None:
        if settings.mail_url is None or settings.mail_from is None:
            raise ValueError("MAIL_URL and MAIL_FROM are not set")
        self._server = urlsplit(settings.mail_url.get_secret_value())
        self._from = settings.mail_from

    async def send(self, mail: Mail) -> None:
        """Send a mail in a thread.

        Raises:
            MailNotSent: the server is away, or refused it.
        """
        await asyncio.to_thread(self._send, mail)

    def _send(self, mail: Mail) -> None:
        try:
            message = self._message(mail)
        except ValueError as error:
            raise MailNotSent("the address is not valid", permanent=True) from error
        try:
            with _connected(self._server) as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise MailNotSent(f"recipient refused: {code}", permanent=code >= PERMANENT) from None
        except smtplib.SMTPDataError as error:
            code = error.smtp_code
            raise MailNotSent(f"text refused: {code}", permanent=code >= PERMANENT) from None
        except smtplib.SMTPResponseException as error:
            # A greeting, a log-in or a sender: the operator's to put right, and then the mail goes.
            raise MailNotSent(f"{type(error).__name__}: {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise MailNotSent(type(error).__name__) from error

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._from
        message["To"] = _ascii_where_possible(mail.to)
        message["Subject"] = mail.subject
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain=self._from.rpartition("@")[2].strip("<> "))
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message.set_content(mail.text)
        return message


@contextmanager
def _connected(url: SplitResult) -> Iterator[smtplib.SMTP]:
    host = url.hostname or ""
    context = ssl.create_default_context()
    server: smtplib.SMTP
    if url.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, url.port or 465, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(host, url.port or 587, timeout=TIMEOUT_S)
    with server:
        if url.scheme == "smtp" and host not in LOOPBACK_HOSTS:
            server.starttls(context=context)
        if url.username is not None:
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server


def _ascii_where_possible(address: str) -> str:
    """Write an international domain in its ASCII form, which every server takes."""
    checked = validate_email(address, check_deliverability=False, test_environment=True)
    return checked.ascii_email or address
