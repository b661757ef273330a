"""Image-to-video pipelines."""
