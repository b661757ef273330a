"""Payments with Stripe: the gateway, the inbox of events, and how payments are booked."""
