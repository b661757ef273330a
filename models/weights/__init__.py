"""Model weights: download from a hub, verification, loading and quantization."""
