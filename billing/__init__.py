"""Billing: the credit ledger, prices, plans and payments."""
