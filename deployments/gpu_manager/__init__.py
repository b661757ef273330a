"""The deployment that owns a GPU: its models, their memory and the engine that batches calls."""
