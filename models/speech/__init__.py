"""Narration: eSpeak or a neural voice, and its audio."""
