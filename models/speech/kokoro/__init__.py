"""Kokoro-82M: a neural voice for eight languages, on the CPU, from packages alone."""
