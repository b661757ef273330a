"""Buying credits: what is sold, Stripe's pages, receipts, and Stripe's webhook."""
