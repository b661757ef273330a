"""The HTTP routes for buying credits: offers, Stripe's pages, receipts, Stripe's webhook."""
