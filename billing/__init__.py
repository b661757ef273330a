"""Money: the ledger and the prices."""
