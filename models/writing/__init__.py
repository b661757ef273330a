"""Scripts written by a language model."""
