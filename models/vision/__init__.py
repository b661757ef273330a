"""Computer vision: depth, human parsing, identity, cutout, garments, upscaling."""
