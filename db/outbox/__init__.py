"""The transactional outbox: messages to the queue, webhook events, webhook secrets."""
