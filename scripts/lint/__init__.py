"""Checks of the code that no published linter makes."""
