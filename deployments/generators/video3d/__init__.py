"""Films of one thing turning, and of a camera moving through a photo."""
