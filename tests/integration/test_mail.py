"""How a mail goes out: encrypted to every other machine, and with the link that is set."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from deployments.maintenance.mail_texts import reset_mail, verify_mail
from deployments.messaging.mail import Mail, Mailer, MailNotSent
from deployments.settings import MailSettings
from tests.support.mail_server import PASSWORD, USER, MailServer, mail_server

# Another address of this machine, which is not among those that mails go to unencrypted.
ELSEWHERE = "127.0.0.2"
# One of the servers here takes a log-in without encryption, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
LETTER = Mail("ada@example.com", "Hello", "Some words.\n")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for ``ELSEWHERE`` that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mail server")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(ELSEWHERE))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def mailer(server: MailServer, credentials: str = "") -> Mailer:
    url = f"smtp://{credentials}{server.host}:{server.port}"
    return Mailer(MailSettings(MAIL_URL=url, MAIL_FROM="no-reply@atelier.example"))


async def test_a_mail_to_another_machine_is_encrypted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(ELSEWHERE, tls(certificate), log_in=True) as server:
        await mailer(server, f"{USER}:{quote(PASSWORD, safe='')}@").send(LETTER)
    assert server.encrypted == [True]
    (mail,) = server.got
    assert mail.get_content().splitlines() == LETTER.text.splitlines()
    assert mail["Auto-Submitted"] == "auto-generated"


async def test_a_server_whose_certificate_is_unknown_gets_nothing(certificate: Path) -> None:
    with (
        mail_server(ELSEWHERE, tls(certificate)) as server,
        pytest.raises(MailNotSent, match="SSLCertVerificationError"),
    ):
        await mailer(server).send(LETTER)
    assert server.asked == 0


async def test_a_server_without_encryption_gets_nothing() -> None:
    with (
        mail_server(ELSEWHERE) as server,
        pytest.raises(MailNotSent, match="SMTPNotSupportedError") as refused,
    ):
        await mailer(server).send(LETTER)
    assert server.asked == 0
    assert not refused.value.permanent


async def test_a_wrong_password_is_no_reason_to_give_up() -> None:
    with mail_server(log_in=True) as server:
        with pytest.raises(MailNotSent) as refused:
            await mailer(server, f"{USER}:wrong@").send(LETTER)
        await mailer(server, f"{USER}:{quote(PASSWORD, safe='')}@").send(LETTER)
    assert not refused.value.permanent
    assert len(server.got) == 1


async def test_an_address_cannot_add_lines_to_the_head() -> None:
    with mail_server() as server, pytest.raises(MailNotSent) as refused:
        await mailer(server).send(Mail("a@example.com\nBcc: b@example.com", "Hi", "x"))
    assert refused.value.permanent
    assert server.asked == 0


async def test_an_international_domain_is_written_in_ascii() -> None:
    with mail_server() as server:
        await mailer(server).send(Mail("ada@bücher.example", "Hello", "x"))
    assert server.got[0]["To"] == "ada@xn--bcher-kva.example"


async def test_nobody_there_is_no_reason_to_give_up() -> None:
    with mail_server() as server:
        pass
    with pytest.raises(MailNotSent) as refused:
        await mailer(server).send(LETTER)
    assert not refused.value.permanent


def test_a_link_carries_the_token_behind_the_hash() -> None:
    page = "https://app.example.com/account"
    assert f"{page}#verify=verify_x\n" in verify_mail("a@example.com", "verify_x", page).text
    assert f"{page}#reset=reset_x\n" in reset_mail("a@example.com", "reset_x", page, []).text
    assert "POST /v1/auth/verify" in verify_mail("a@example.com", "verify_x", None).text


@pytest.mark.parametrize(
    "given",
    [
        {"MAIL_URL": "https://mail.example.com"},
        {"MAIL_URL": "smtp://"},
        {"MAIL_URL": "smtp://mail.example.com:many"},
        {"MAIL_FROM": None},
        {"MAIL_FROM": "nobody"},
        {"MAIL_FROM": "a@example.com\nBcc: b@example.com"},
    ],
)
def test_settings_that_are_none_are_refused(given: dict[str, str]) -> None:
    right = {"MAIL_URL": "smtps://u:secret@mail.example.com", "MAIL_FROM": "a@example.com"}
    assert MailSettings(**right).enabled
    with pytest.raises(ValidationError) as refused:
        MailSettings(**right | given)
    assert "secret" not in str(refused.value)
