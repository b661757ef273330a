"""One module for each kind of slide."""
