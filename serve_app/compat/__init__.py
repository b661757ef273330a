"""What the APIs that are compatible with other services share."""
