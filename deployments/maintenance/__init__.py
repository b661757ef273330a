"""Maintenance tasks, one in each file: each finds work that was left undone, and does it."""
