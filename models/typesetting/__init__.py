"""Typeset text with Typst, with fonts for every supported script."""
