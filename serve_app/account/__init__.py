"""The account as its owner changes, exports and deletes it."""
