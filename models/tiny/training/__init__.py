"""Trains every part of the tiny pack from a seed: ``python -m models.tiny.training --help``."""
