"""The HTTP routes of administrators. Each change writes a row to the audit log."""
