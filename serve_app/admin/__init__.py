"""What administrators do over HTTP; each change leaves a row in the audit log."""
