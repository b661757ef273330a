"""Train every model of the tiny pack from a seed: ``python -m models.tiny.training --help``."""
