"""The HTTP routes of personas, one use case a file: save, change, erase."""
