"""Which errors are a lack of memory, also where a library says something else of it."""

import errno

import pytest

from models.memory.usage import is_out_of_memory

MAP = "unable to mmap 945796 bytes from file <vae.safetensors>: Cannot allocate memory (12)"


def as_diffusers_says_it(first: Exception) -> OSError:
    """As ``load_state_dict`` of diffusers tells of a file that could not be read."""
    between = ValueError("Unable to locate the file")
    between.__cause__ = first
    told = OSError("Unable to load weights from checkpoint file")
    told.__context__ = between
    return told


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError(MAP), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOENT, "No such file"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
    ids=lambda value: f"{value!r}"[:30],
)
def test_a_lack_of_memory_is_known_behind_another_error(first: Exception, expected: bool) -> None:
    assert is_out_of_memory(first) is expected
    assert is_out_of_memory(as_diffusers_says_it(first)) is expected


def test_what_was_hidden_on_purpose_does_not_count() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("a request that is too large") from None
    except ValueError as found:
        assert not is_out_of_memory(found)
