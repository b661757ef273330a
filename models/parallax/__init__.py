"""A camera that moves through a photo."""
