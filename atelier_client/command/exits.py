"""Exit statuses of the command."""

OK = 0
REFUSED = 1  # the service refused the request
USAGE = 2  # the arguments are wrong, or no service is known
JOB_FAILED = 3  # the job, or one of the batch, failed or was canceled
UNAVAILABLE = 4  # the service does not answer now
INTERRUPTED = 130  # Ctrl-C
