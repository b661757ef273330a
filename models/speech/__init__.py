"""Text to speech: eSpeak NG or a neural voice, and audio processing."""
