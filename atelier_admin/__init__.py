"""The operator's command ``atelier-admin``."""
