"""Diffusion models: image and video generation, adapters, batching."""
