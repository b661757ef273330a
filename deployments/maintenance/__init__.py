"""What the keeper does, one task a file: each finds something left undone and does it."""
