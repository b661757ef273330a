"""What belongs to a user: the account, files and personas."""
