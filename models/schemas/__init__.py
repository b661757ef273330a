"""The data that models take and give; pydantic only."""
