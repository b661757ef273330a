"""What a catalogue finds."""
