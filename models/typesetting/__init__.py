"""Text set by Typst, with the fonts for each script."""
