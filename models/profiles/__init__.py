"""Profiles: the models and defaults for each class of machine."""
