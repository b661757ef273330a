"""What leaves a replica: job events, webhooks, HTTP calls, log lines."""
