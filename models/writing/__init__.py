"""Scripts written by a language model, or drawn from a text without one."""
