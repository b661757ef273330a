"""Writing films: MP4, WebM and GIF."""
