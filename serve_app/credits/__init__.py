"""What a user sees of the ledger."""
