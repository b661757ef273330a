"""The HTTP routes of batches: many jobs of one file, one use case a file."""
