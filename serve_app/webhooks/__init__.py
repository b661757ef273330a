"""The HTTP routes of webhooks: the signing secret and a test event. Maintenance delivers events."""
