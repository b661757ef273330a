"""What a catalogue finds."""

from tests.support.scribe import SPEC

__all__ = ["SPEC"]
