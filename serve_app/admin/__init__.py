"""The HTTP routes of staff. Each change writes a row to the audit log."""
