"""Curves, ticks and graph layout."""
