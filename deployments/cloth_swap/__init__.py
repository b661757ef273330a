"""Somebody wearing another garment."""
