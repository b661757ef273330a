"""Weights: from a hub or a folder, verified, quantized."""
