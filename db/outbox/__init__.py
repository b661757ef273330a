"""Messages that leave with their transaction: the outbox, webhook events and secrets."""
