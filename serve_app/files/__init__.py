"""The HTTP routes of files, and the check of their content."""
