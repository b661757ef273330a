"""The calls of the API; thin: they translate HTTP to a use case and back."""
