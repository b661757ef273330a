"""An authenticator of WebAuthn with a browser around it: ES256, attestation ``none``.

What it does wrong it is told to do wrong, by an argument.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

Json = dict[str, Any]

# Flags of authenticator data: user present, user verified, attested credential data.
_UP, _UV, _AT = 0x01, 0x04, 0x40


def to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """Holds one credential, of the user whom its options named."""

    origin: str
    count: int = 0
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def create(self, options: Json, *, rp_id: str | None = None, verify: bool = True) -> Json:
        """What ``navigator.credentials.create`` gives for the options, as JSON."""
        self.user_handle = to_bytes(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = {
            1: 2, 3: -7, -1: 1,
            -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big"),
        }  # fmt: skip
        length = len(self.credential_id).to_bytes(2, "big")
        attested = bytes(16) + length + self.credential_id + cbor2.dumps(cose)
        data = self._data(rp_id or options["rp"]["id"], _AT, verify=verify) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client_data = self._client_data("webauthn.create", options["challenge"])
        response = {"attestationObject": to_text(attestation)}
        return self._credential(client_data, response)

    def get(
        self, options: Json, *, rp_id: str | None = None, verify: bool = True, **client_data: Any
    ) -> Json:
        """What ``navigator.credentials.get`` gives for the options, as JSON."""
        data = self._data(rp_id or options["rpId"], 0, verify=verify)
        told = self._client_data("webauthn.get", options["challenge"], **client_data)
        signed = data + hashlib.sha256(told).digest()
        response = {
            "authenticatorData": to_text(data),
            "signature": to_text(self.key.sign(signed, ec.ECDSA(SHA256()))),
            "userHandle": to_text(self.user_handle),
        }
        return self._credential(told, response)

    def _data(self, rp_id: str, flags: int, *, verify: bool) -> bytes:
        flags |= _UP | (_UV if verify else 0)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)

    def _client_data(self, kind: str, challenge: str, **more: Any) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps({**told, **more}).encode()

    def _credential(self, client_data: bytes, response: Json) -> Json:
        identity = to_text(self.credential_id)
        return {
            "id": identity,
            "rawId": identity,
            "type": "public-key",
            "response": {"clientDataJSON": to_text(client_data), **response},
            "clientExtensionResults": {},
        }
