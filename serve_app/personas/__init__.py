"""What a client can do with a persona, one use case a file: save, change, erase."""
