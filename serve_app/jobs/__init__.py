"""What a client can do with a job, one use case a file: submit, read, cancel."""
