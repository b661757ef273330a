"""What denoises: one file a capability."""
