"""What a catalogue finds."""

from tests.alert_drill.laggard import SPEC

__all__ = ["SPEC"]
