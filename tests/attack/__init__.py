"""What a stranger without an account can do to a running service, tried again."""
