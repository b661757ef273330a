"""Produces the cause of each alert for real: see ``__main__``."""
