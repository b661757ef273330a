"""The rows of jobs: queries, changes of status, their order."""
