"""The six generators, and what they share."""
