"""A sealed file gives back what was written, or an error, and never anything else."""

import io
import os
import tracemalloc

import pytest

from atelier_admin.backup.errors import BackupFailed, Corrupted, WrongKey
from atelier_admin.backup.sealed import CHUNK_BYTES, BackupKey, SealedReader, SealedWriter

KEY = BackupKey(bytes(range(32)))
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]


def sealed(content: bytes, compress: bool = False, name: str = "a/file") -> bytes:
    sink = io.BytesIO()
    writer = SealedWriter(sink, KEY, name, compress)
    for start in range(0, len(content), 70_000):
        writer.write(content[start : start + 70_000])
    writer.finish()
    return sink.getvalue()


def opened(content: bytes, key: BackupKey = KEY, name: str = "a/file") -> bytes:
    return SealedReader(io.BytesIO(content), key, name).read()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read(size: int, compress: bool) -> None:
    content = os.urandom(size)
    assert opened(sealed(content, compress)) == content


def test_it_is_read_in_pieces_of_any_size() -> None:
    content = os.urandom(2 * CHUNK_BYTES + 5)
    reader = SealedReader(io.BytesIO(sealed(content, True)), KEY, "a/file")
    pieces = []
    while piece := reader.read(99_999):
        pieces.append(piece)
    assert {len(piece) for piece in pieces[:-1]} == {99_999}
    assert b"".join(pieces) == content


def test_nothing_of_the_content_shows_and_no_two_files_are_alike() -> None:
    content = b"a secret that nobody may read" * 100
    first, second = sealed(content), sealed(content)
    assert b"secret" not in first and KEY.secret not in first
    assert first[40:] != second[40:]
    assert len(sealed(content, compress=True)) < len(first) / 5


@pytest.mark.parametrize("place", [0, 9, 20, 32, 33, 36, 40, -1])
def test_one_changed_bit_is_noticed(place: int) -> None:
    damaged = bytearray(sealed(b"x" * 1000))
    damaged[place] ^= 1
    with pytest.raises((Corrupted, WrongKey)):
        opened(bytes(damaged))


@pytest.mark.parametrize("left", [0, 10, 33, 35, 37, 200, CHUNK_BYTES + 53, -1])
def test_a_file_that_was_cut_short_is_noticed(left: int) -> None:
    """At the end of a chunk, too (33 bytes of header, 4 of length, 16 of tag)."""
    with pytest.raises(Corrupted):
        opened(sealed(os.urandom(2 * CHUNK_BYTES))[:left])


def test_chunks_that_changed_places_are_noticed() -> None:
    content = sealed(os.urandom(3 * CHUNK_BYTES))
    chunk = CHUNK_BYTES + 20
    head, first, second, rest = (
        content[:33],
        content[33 : 33 + chunk],
        content[33 + chunk : 33 + 2 * chunk],
        content[33 + 2 * chunk :],
    )
    with pytest.raises(Corrupted):
        opened(head + second + first + rest)


def test_a_file_does_not_pass_for_another() -> None:
    with pytest.raises(Corrupted):
        opened(sealed(b"of today", name="base/1/manifest"), name="base/2/manifest")


def test_another_key_is_named() -> None:
    other = BackupKey(bytes(32))
    with pytest.raises(WrongKey, match=f"{KEY.id}.*{other.id}"):
        opened(sealed(b"x"), other)


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "00" * 31])
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BackupFailed) as refused:
        BackupKey.parse(text)
    assert not text or text not in str(refused.value)


def test_a_key_is_read_as_it_is_printed() -> None:
    assert BackupKey.parse(KEY.secret.hex() + "\n") == KEY


def test_what_was_packed_a_thousandfold_is_read_piece_by_piece() -> None:
    """Empty pages of a database and the rest of a segment of its log are such."""
    size = 64 * CHUNK_BYTES
    reader = SealedReader(io.BytesIO(sealed(bytes(size), True)), KEY, "a/file")
    tracemalloc.start()
    try:
        assert sum(len(piece) for piece in iter(lambda: reader.read(10_000), b"")) == size
        assert tracemalloc.get_traced_memory()[1] < 8 * CHUNK_BYTES
    finally:
        tracemalloc.stop()
