"""``/fal``: for fal's clients."""
