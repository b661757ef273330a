"""The diffusion engine beside a bare pipeline and fixed batches."""
