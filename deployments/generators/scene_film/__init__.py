"""Narrated films of scenes: what lessons and stories share."""
