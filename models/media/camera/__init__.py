"""Camera moves over still pictures, and transitions between scenes."""
