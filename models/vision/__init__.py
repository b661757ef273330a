"""Networks that look at pictures: depth, parsing, identity, cutout, upscaling."""
