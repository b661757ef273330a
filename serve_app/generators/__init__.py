"""The HTTP routes of the catalogue of generators."""
