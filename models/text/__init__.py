"""Reading text: Markdown, and what fits. The standard library and markdown-it only, so that the
HTTP side may import it."""
