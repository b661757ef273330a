"""Build scene prompts for the image model."""
