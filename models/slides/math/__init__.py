"""Mathematics, from LaTeX-like text to what Typst sets."""
