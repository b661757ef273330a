"""What several generators need, written once."""
