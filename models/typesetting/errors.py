"""What cannot be set in type."""


class UnsupportedCharacters(ValueError):
    """No shipped font has some of the characters."""
