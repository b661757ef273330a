"""Atelier over HTTP beside what one would write with a serving library instead."""
