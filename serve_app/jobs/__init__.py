"""The HTTP routes of jobs, one use case a file: submit, read, cancel, retry, erase, events."""
