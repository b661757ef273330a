"""The HTTP routes of credits: balance, movements, alert, usage."""
