"""How news of a job reaches a client."""
