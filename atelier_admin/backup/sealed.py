"""Encrypted files: AES-256-GCM over chunks of at most 1 MiB, compressed before or not.

    magic, id of the key (8 bytes), salt (16 bytes), flags (1 byte)
    chunks: length (4 bytes, big endian), ciphertext and tag

Each file has a key of its own, derived from the backup key and the salt, so that nonces never
repeat. The nonce of a chunk is its number and whether it is the last one: chunks that are missing,
moved or repeated are noticed. The name of the file is authenticated with each, so that no file
passes for another.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from atelier_admin.backup.errors import BackupFailed, Corrupted, WrongKey

KEY_BYTES = 32
CHUNK_BYTES = 1 << 20
_MAGIC = b"ATLBAK1\n"
_COMPRESSED = 1
_ID_BYTES, _SALT_BYTES, _TAG_BYTES = 8, 16, 16
_HEADER_BYTES = len(_MAGIC) + _ID_BYTES + _SALT_BYTES + 1


@dataclass(frozen=True)
class BackupKey:
    """The key of all backups at a target; ``id`` names it without telling it."""

    secret: bytes

    @classmethod
    def parse(cls, text: str) -> BackupKey:
        """Read 64 hexadecimal digits.

        Raises:
            BackupFailed: it is something else; the message does not show it.
        """
        try:
            secret = bytes.fromhex(text.strip())
        except ValueError:
            secret = b""
        if len(secret) != KEY_BYTES:
            raise BackupFailed("BACKUP_KEY must be 64 hexadecimal digits (openssl rand -hex 32)")
        return cls(secret)

    @property
    def id(self) -> str:
        return self.derive(b"id", b"", _ID_BYTES).hex()

    def derive(self, purpose: bytes, salt: bytes, length: int = KEY_BYTES) -> bytes:
        """Derive ``length`` bytes that tell nothing of the key."""
        info = b"atelier backup " + purpose
        return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(self.secret)

    def name_of(self, sha256: str) -> str:
        """Return the name of an object at the target, which does not tell its hash."""
        return hmac.new(self.derive(b"names", b""), sha256.encode(), hashlib.sha256).hexdigest()


class SealedWriter:
    """Writes a sealed file into ``sink``; only :meth:`finish` makes it whole."""

    def __init__(self, sink: BinaryIO, key: BackupKey, name: str, compress: bool) -> None:
        salt = os.urandom(_SALT_BYTES)
        flags = bytes([_COMPRESSED if compress else 0])
        header = _MAGIC + bytes.fromhex(key.id) + salt + flags
        self._sink, self._aad = sink, header + name.encode()
        self._cipher = AESGCM(key.derive(b"file", salt))
        # Level 1: the slower ones gain a tenth, and a backup would take several times as long.
        self._compress = zlib.compressobj(1) if compress else None
        self._buffer = bytearray()
        self._number = 0
        self._plain = hashlib.sha256()
        self.size = 0
        sink.write(header)

    @property
    def sha256(self) -> str:
        """Of the plain content so far."""
        return self._plain.hexdigest()

    def write(self, content: bytes) -> int:
        self._plain.update(content)
        self.size += len(content)
        self._buffer += content if self._compress is None else self._compress.compress(content)
        while len(self._buffer) > CHUNK_BYTES:
            self._chunk(CHUNK_BYTES, last=False)
        return len(content)

    def finish(self) -> None:
        """Write the last chunk, which may be empty."""
        if self._compress is not None:
            self._buffer += self._compress.flush()
        while len(self._buffer) > CHUNK_BYTES:
            self._chunk(CHUNK_BYTES, last=False)
        self._chunk(len(self._buffer), last=True)

    def _chunk(self, length: int, last: bool) -> None:
        plain = bytes(self._buffer[:length])
        del self._buffer[:length]
        sealed = self._cipher.encrypt(_nonce(self._number, last), plain, self._aad)
        self._sink.write(len(sealed).to_bytes(4, "big") + sealed)
        self._number += 1


class SealedReader:
    """Reads the plain content of a sealed file.

    Raises:
        WrongKey: it was sealed with another key.
        Corrupted: at a read: it is not what was written, from there on.
    """

    def __init__(self, source: BinaryIO, key: BackupKey, name: str) -> None:
        header = source.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
            raise Corrupted(f"{name} is not a file of a backup, or is damaged at its beginning")
        used = header[len(_MAGIC) :][:_ID_BYTES].hex()
        if used != key.id:
            raise WrongKey(
                f"{name} was encrypted with the key {used}, and BACKUP_KEY is {key.id}:"
                " set the key that was told when the first backup was made"
            )
        salt = header[len(_MAGIC) + _ID_BYTES :][:_SALT_BYTES]
        self._source, self._name, self._aad = source, name, header + name.encode()
        self._cipher = AESGCM(key.derive(b"file", salt))
        self._inflate = zlib.decompressobj() if header[-1] & _COMPRESSED else None
        self._plain = hashlib.sha256()
        self._buffer = memoryview(b"")
        self._packed = b""  # opened, and not inflated yet
        self._number = 0
        self._last = False

    @property
    def sha256(self) -> str:
        """Of the plain content read so far."""
        return self._plain.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; all of the rest for a negative one."""
        pieces, wanted = [], size
        while wanted != 0:
            if not self._buffer and not self._fill():
                break
            piece = self._buffer if wanted < 0 else self._buffer[:wanted]
            self._buffer = self._buffer[len(piece) :]
            pieces.append(piece)
            wanted -= len(piece) if wanted > 0 else 0
        content = b"".join(pieces)
        self._plain.update(content)
        return content

    def _fill(self) -> bool:
        """Open chunks until there is content; returns False at the end."""
        while not self._buffer:
            if self._inflate is None:
                if self._last:
                    return False
                self._buffer = memoryview(self._open_chunk())
            elif not (content := self._inflated(self._inflate)):
                if self._last:
                    if not self._inflate.eof or self._inflate.unused_data:
                        raise Corrupted(f"{self._name} does not end where its content ends")
                    return False
                self._packed = self._open_chunk()
            else:
                self._buffer = memoryview(content)
        return True

    def _inflated(self, inflate: zlib._Decompress) -> bytes:
        """The next piece: a chunk of a thousand times its size is never in memory as a whole."""
        try:
            content = inflate.decompress(self._packed, CHUNK_BYTES)
        except zlib.error as error:
            raise Corrupted(f"{self._name} is damaged: {error}") from error
        self._packed = inflate.unconsumed_tail
        return content

    def _open_chunk(self) -> bytes:
        length = int.from_bytes(self._source.read(4), "big")
        sealed = self._source.read(length) if length <= CHUNK_BYTES + _TAG_BYTES else b""
        if length < _TAG_BYTES or len(sealed) < length:
            raise Corrupted(f"{self._name} is damaged or cut short at chunk {self._number}")
        for last in (False, True):
            try:
                plain = self._cipher.decrypt(_nonce(self._number, last), sealed, self._aad)
            except InvalidTag:
                continue
            self._number += 1
            self._last = last
            return plain
        raise Corrupted(f"{self._name} is damaged at chunk {self._number}")


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
