"""What generators ask of the models: operations, and what runs them."""
