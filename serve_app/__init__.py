"""The HTTP side; the only package that imports FastAPI."""
