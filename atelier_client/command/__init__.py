"""The command ``atelier``."""
