"""What a catalogue finds."""

from tests.support.toys import spec_of

SPEC = spec_of("ann")
