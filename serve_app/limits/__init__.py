"""What a user may do at a time."""
