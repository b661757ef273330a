"""Text to speech: Kokoro, eSpeak NG or a VITS checkpoint, and audio processing."""
